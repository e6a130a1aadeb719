"""How the page looks, in light and in dark."""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bar: #3949ab; --done: #2e7d32; }
@media (prefers-color-scheme: dark) { :root { --bar: #9fa8da; --done: #81c784; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 68rem; padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
h3 { font-size: 1rem; margin: 0; }
section.card { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem;
               margin: .6rem 0; }
.note { opacity: .75; margin: .2rem 0 .6rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; vertical-align: top;
         border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
td.number { white-space: nowrap; width: 15%; }
svg.bar { background: var(--soft); border-radius: 3px; height: .7rem; width: 11rem; }
svg.bar rect { fill: var(--bar); } svg.enrolled rect { fill: var(--done); }
summary { cursor: pointer; padding: .25rem 0; } ul { margin: .2rem 0; padding-left: 1.2rem; }
form { display: flex; flex-wrap: wrap; gap: .6rem; align-items: end; margin: .6rem 0; }
label { display: grid; font-size: .85rem; } input { width: 8rem; }
input, select, button { font: inherit; padding: .25rem .5rem; }
.problem { border-left: .3rem solid #c62828; padding: .4rem .8rem; }
"""

STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
