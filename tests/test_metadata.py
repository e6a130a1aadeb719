"""What a package index shows of this project: its README, whose links lead somewhere from there."""

from __future__ import annotations

import re
import shutil
import textwrap
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from hatchling.build import prepare_metadata_for_build_wheel

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\(\s*([^)\s]+)|^\[[^\]]+\]:\s*(\S+)|(?:href|src)=[\"']?([^\"'\s>]+)", re.M)
CODE = re.compile(r"(?ms)^```.*?^```$|`[^`\n]+`")


def metadata(folder: Path) -> Message:
    """What a build makes of the project in the current folder, and writes into another."""
    about = prepare_metadata_for_build_wheel(str(folder))
    return Parser().parsestr((folder / about / "METADATA").read_text("utf-8"))


def links(markdown: str) -> list[str]:
    return ["".join(found) for found in LINK.findall(CODE.sub("", markdown))]


def anchors(markdown: str) -> set[str]:
    """What headings can be linked by, as package indexes and repositories make it of them."""
    headings = re.findall(r"(?m)^#+ (.+)$", CODE.sub("", markdown))
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project that is built like this one, with a README to be written."""
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    (tmp_path / "small.py").touch()
    (tmp_path / "pyproject.toml").write_text(
        textwrap.dedent(
            """
            [project]
            name = "small"
            version = "1"
            dynamic = ["readme"]
            urls = { Documentation = "https://docs.example", Source = "https://source.example" }

            [tool.hatch.metadata.hooks.custom]
            """
        )
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_description_has_no_relative_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    built = metadata(tmp_path)
    description = str(built.get_payload())

    assert built["Description-Content-Type"] == "text/markdown"
    assert len(links(description)) > 10
    relative = [link for link in links(description) if not link.startswith(("https://", "#"))]
    assert relative == []
    inside = {link[1:] for link in links(description) if link.startswith("#")}
    assert inside - anchors(description) == set()


def test_every_relative_link_of_the_readme_leads_to_a_file() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    files = {link.partition("#")[0] for link in links(readme) if not link.startswith("https://")}
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_pages_lead_to_the_documentation_and_other_files_to_the_repository(project: Path) -> None:
    (project / "README.md").write_text(
        "[a](docs/errors.md), [b](docs/errors.md#timeouts), [c](SECURITY.md), [d](#e),\n"
        "[f](https://elsewhere.example/docs/errors.md)\n",
        "utf-8",
    )
    assert links(str(metadata(project).get_payload())) == [
        "https://docs.example/errors.html",
        "https://docs.example/errors.html#timeouts",
        "https://source.example/blob/main/SECURITY.md",
        "#e",
        "https://elsewhere.example/docs/errors.md",
    ]


def test_code_that_looks_like_a_link_stays_as_it_is(project: Path) -> None:
    readme = "# É\n\n```python\nhandlers[event](payload)\n```\n"
    (project / "README.md").write_text(readme, "utf-8")
    assert metadata(project).get_payload() == readme


def test_the_addresses_of_the_repository_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    urls = dict(url.split(", ") for url in metadata(tmp_path).get_all("Project-URL", []))
    assert urls["Issues"] == f"{urls['Source']}/issues"
    assert urls["Changelog"] == f"{urls['Source']}/blob/main/CHANGELOG.md"
