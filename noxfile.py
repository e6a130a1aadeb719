"""What contributors, CI and releases run.

`nox -l` lists the sessions; `nox` alone runs what a commit needs to pass. Nothing but nox itself
has to be installed beforehand; where uv is there, environments are made with it, and faster.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import nox

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
DEPENDENCIES: list[str] = PROJECT["project"]["dependencies"]
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
INTEGRATIONS = ["celery", "django", "fastapi", "flask", "openfeature", "opentelemetry"]
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
OLDEST, *NEWER = nox.project.python_versions(PROJECT)
PYTHONS = [OLDEST, *NEWER] if RUNNING in [OLDEST, *NEWER] else [OLDEST, *NEWER, RUNNING]
COVERED = "3.13"  # up to 3.11, lines that ran after asyncio.run may be missed
MEASURED = "3.11"  # ratios differ between Pythons; benchmarks/expected.json holds this one's

SPEC = ROOT / "openapi" / "upgrade-client-v6.yaml"
GENERATOR_SETTINGS = ROOT / "openapi" / "generator.yaml"
GENERATOR_TEMPLATES = ROOT / "openapi" / "templates"
GENERATED = ROOT / "generated" / "upgrade_openapi"
MUTATED = [  # the caches, the rules of queues, freshness and retries, and the retry loop
    "upgrade_client_lib._http.call.x_send_with_retries__*",
    "upgrade_client_lib._rules.freshness.*",
    "upgrade_client_lib._rules.queues.*",
    "upgrade_client_lib._rules.retries.*",
    "upgrade_client_lib._user.cache.*",
    "upgrade_client_lib._user.record.*",
    "upgrade_client_lib._user.single_flight.*",
]
MUTATION_SURVIVORS = ROOT / "tests" / "mutation_survivors.txt"
DIST = ROOT / "dist"
RESERVED_NAMES = (  # by RFC 2606
    ".example",
    ".example.com",
    ".example.net",
    ".example.org",
    ".invalid",
    ".localhost",
    ".test",
)

# Whole runs are shared among a few processes, on two cores too, since many tests wait. A single
# module is quicker in one, so this is no setting of pytest's own. Not by scope: that runs only one
# of the tests that share a name.
IN_PARALLEL = ["--numprocesses=4", "--dist=worksteal"]
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}  # else each program a test starts compiles it all anew

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "generated", f"tests-{RUNNING}"]


# Tests and the demo


@nox.session
def demo(session: nox.Session) -> None:
    """Run the README's quick start against a LocalUpgrade on loopback, and tell what happened."""
    session.install("-e", ".")
    session.run("python", "-m", "examples.demo", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on every supported Python that is there; arguments after -- go to pytest.

    `nox -s tests-3.11` runs one Python's, and `nox -s tests-3.11 -- -n 0` in one process.
    """
    install(session, "tests")
    session.run("pytest", *IN_PARALLEL, *session.posargs, env=COMPILED)


@nox.session
def accept(session: nox.Session) -> None:
    """Accept the public surface as it is now: renew its snapshot after a deliberate change."""
    install(session, "tests")
    session.run("python", "-m", "tests.test_public_surface", "--accept")


@nox.session
def examples(session: nox.Session) -> None:
    """Run the examples and the documents' code, those for web frameworks and notebooks too."""
    install(session, "tests", "examples")
    documented = ["tests/test_documents.py", "tests/test_examples.py"]
    session.run("pytest", *documented, *session.posargs)


@nox.session
def redis(session: nox.Session) -> None:
    """Run the tests of stores, with a redis-server that must be installed."""
    session.install("-e", ".[redis]", *group("tests"))
    required = {**COMPILED, "UPGRADE_REQUIRE_REDIS": "1"}
    session.run("pytest", "tests/stores", *session.posargs, env=required)


@nox.session
def browser(session: nox.Session) -> None:
    """Open LocalUpgrade's page in Chromium, which must be installed with its driver.

    -- --screenshot renews the picture of the page in the documentation.
    """
    install(session, "tests", "browser")
    arguments = list(session.posargs)
    required = {**COMPILED, "UPGRADE_REQUIRE_BROWSER": "1"}
    if "--screenshot" in arguments:
        arguments.remove("--screenshot")
        required["UPGRADE_SCREENSHOT"] = "1"
    session.run("pytest", "tests/browser", *arguments, env=required)


@nox.session
def pictures(session: nox.Session) -> None:
    """Draw the documentation's pictures from the texts beside them, with Graphviz."""
    install(session, "tests")
    session.run("python", "-m", "tests.support_pictures")


@nox.session(python="3.11")
def spark(session: nox.Session) -> None:
    """Run the example for Spark, on two local workers; wants Java 17 or newer."""
    session.install("-e", ".", *group("tests", "spark"))
    session.run("pytest", "tests/spark", *session.posargs, env={"UPGRADE_REQUIRE_SPARK": "1"})


@nox.session(python=PYTHONS)
def minimums(session: nox.Session) -> None:
    """Run the tests with the lowest versions of the run-time dependencies, of cli and of redis."""
    requirements = [*DEPENDENCIES, *EXTRAS["cli"], *EXTRAS["redis"]]
    # httpx2 wants newer ones; without it, the test client of FastAPI warns.
    wanted = [one for one in group("tests") if not one.startswith("httpx2")]
    quiet = ["-W", "ignore:Using `httpx` with `starlette.testclient` is deprecated"]
    session.install("-e", ".", *wanted, *lowest(requirements))
    session.run("pytest", *IN_PARALLEL, *quiet, *session.posargs, env=COMPILED)


@nox.session(python=PYTHONS)
@nox.parametrize("versions", [nox.param("oldest", id="oldest"), nox.param("newest", id="newest")])
def integrations(session: nox.Session, versions: str) -> None:
    """Run the tests of integrations with the oldest and the newest versions that extras allow."""
    required, options = {**COMPILED, "UPGRADE_REQUIRE_REDIS": "1"}, [*IN_PARALLEL]
    pinned: list[str] = []
    if versions == "oldest":
        pinned = lowest([one for name in INTEGRATIONS for one in EXTRAS[name]])
        options += ["-W", "default::DeprecationWarning"]  # old releases among new ones
    session.install("-e", ".[all]", *group("tests"), *pinned)
    session.run("pytest", *options, "tests/integrations", *session.posargs, env=required)


@nox.session(python=COVERED)
def coverage(session: nox.Session) -> None:
    """Run the tests and those of the examples; fail if the library has a line or branch left out.

    Of the tests, two in ten thousand may be: in a few, threads and processes decide which way they
    go.
    """
    install(session, "tests", "examples")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *IN_PARALLEL, *session.posargs, env=COMPILED)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", "--include=upgrade_client_lib/*")
    session.run("coverage", "report", "--include=tests/*", "--precision=2", "--fail-under=99.98")


@nox.session(python=PYTHONS)
@nox.parametrize("anyio", ["oldest", "newest"], ids=["oldest", "newest"])
def storm(session: nox.Session, anyio: str) -> None:
    """Cancel and interrupt ten thousand calls each at random moments; fail if anything is left.

    And two thousand each over TLS, through a CONNECT proxy and through a SOCKS proxy. With the
    oldest and the newest anyio for each Python: `nox -s storm-3.9` runs one Python's.
    """
    named = [requirement for requirement in DEPENDENCIES if requirement.startswith("anyio>")]
    session.install("-e", ".", *group("storm"), *(lowest(named) if anyio == "oldest" else named))
    session.run("python", "-c", "from tests.support_storms import main; main(10_000, 2_000)")


@nox.session(python=[OLDEST, COVERED])
def soak(session: nox.Session) -> None:
    """Kill processes that deliver in 500 rounds, and look where each event is that was handed over.

    Wants a redis-server. `nox -s soak-3.9 -- 100 7` plays 100 rounds, from seed 7 on.
    """
    rounds, seed, *_ = [*session.posargs, *["500", "0"][len(session.posargs) :]]
    session.install("-e", ".[redis]", *group("tests"))
    play = f"from tests.outbox.support_soak import main; main({int(rounds)}, {int(seed)})"
    session.run("python", "-c", play)


@nox.session
def soak_real(session: nox.Session) -> None:
    """Do the same on the server at an address, while it and its database are killed.

    CONTRIBUTING.md says what it needs.
    """
    session.install("-e", ".[redis]", *group("tests"))
    session.run("python", "-m", "tests.outbox.support_real_server", *session.posargs)


@nox.session
def sharing(session: nox.Session) -> None:
    """Compare 500 random sequences of several workers' calls with the server at an address.

    `nox -s sharing -- http://127.0.0.1:3030`: the server must hold what `record` wants, and keeps
    the users of the sequences. Needs a redis-server, unless --store memory or sqlite follows.
    """
    session.install("-e", ".[redis]", *group("tests"))
    program = "from tests.support_sharing_sequences import main; main()"
    session.run("python", "-c", program, *session.posargs)


@nox.session
def mutation(session: nox.Session) -> None:
    """Change caches, rotation and retries a little, many times over, and see if a test notices.

    What no test can notice is explained in tests/mutation_survivors.txt. Takes some ten minutes.
    """
    install(session, "mutation")
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    session.run("mutmut", "run", *MUTATED)
    results = str(session.run("mutmut", "results", silent=True, log=False)).splitlines()
    unnoticed = {
        change_of(session, name)
        for name, fate in (line.strip().split(": ") for line in results)
        if fate not in {"timeout", "not checked"}  # a test that hangs has noticed
    }
    lines = MUTATION_SURVIVORS.read_text(encoding="utf-8").splitlines()
    explained = {line for line in lines if line and not line.startswith(("#", " "))}
    complain(
        session,
        f"{MUTATION_SURVIVORS.name} does not explain just what no test notices",
        unexplained=unnoticed - explained,
        noticed=explained - unnoticed,
    )


@nox.session
def record(session: nox.Session) -> None:
    """Record tests/cassettes anew, from the live server that UPGRADE_HOST_URL names.

    UPGRADE_TOKEN is its bearer token, where it wants one. The server must be fresh and hold what
    tests/recordings/exports describes: its experiments and flags, imported through UpGrade's web
    page, in the contexts my-app, big-app, null-app and empty-app, each with the group types
    class, school and instructor. The docstring of tests/test_replays.py says more.
    """
    if not os.environ.get("UPGRADE_HOST_URL"):
        session.error("Set UPGRADE_HOST_URL to the server to record from; CONTRIBUTING.md has more")
    install(session, "tests")
    session.run("pytest", "tests/test_replays.py", "--record", *session.posargs)


@nox.session(python=MEASURED)
def bench(session: nox.Session) -> None:
    """Run the benchmarks, which write benchmarks/RESULTS.md and the charts of docs/performance.md.

    `-- --check` only compares ratios: it fails if this library has become slower, in proportion to
    what it is measured against, than benchmarks/expected.json says, and takes about a minute.
    """
    install(session, "bench")
    if "--check" in session.posargs:
        session.run("python", "-m", "benchmarks", *session.posargs)
        return
    install_sdks(session)
    # The published client has the name of this one, so it lives in an environment of its own.
    published = Path(session.create_tmp()) / "published"
    session.run("python", "-m", "venv", "--clear", str(published))
    python = str(published / ("Scripts" if os.name == "nt" else "bin") / "python")
    session.run(python, "-m", "pip", "install", "-q", "upgrade-client-lib==6.7.0", external=True)
    alone = Path(session.create_tmp()) / "alone"
    session.run("python", "-m", "venv", "--clear", str(alone))
    plain = str(alone / ("Scripts" if os.name == "nt" else "bin") / "python")
    session.run(plain, "-m", "pip", "install", "-q", "httpx", external=True)
    others = [f"--published={python}", f"--alone={plain}"]
    session.run("python", "-m", "benchmarks", *others, *session.posargs)
    session.run("python", "-m", "benchmarks.growth")


@nox.session(python=MEASURED)
def growth(session: nox.Session) -> None:
    """Do only the last part of `bench`: measure how times grow with what there is, and draw it.

    `-- records` measures one of the curves; benchmarks/growth.py has their names.
    """
    install(session, "bench")
    install_sdks(session)
    session.run("python", "-m", "benchmarks.growth", *session.posargs)


# The generated package


@nox.session
def regenerate(session: nox.Session) -> None:
    """Compile the spec into generated/upgrade_openapi, in place of what was there."""
    with compiled_spec(session) as package:
        shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(package, GENERATED)


@nox.session
def generated(session: nox.Session) -> None:
    """Check that generated/upgrade_openapi is just what the spec compiles to."""
    with compiled_spec(session) as package:
        wanted, found = contents(package), contents(GENERATED)
    complain(
        session,
        "generated/upgrade_openapi is not what the spec compiles to; run `nox -s regenerate`",
        missing=wanted.keys() - found.keys(),
        unexpected=found.keys() - wanted.keys(),
        different={name for name in wanted.keys() & found.keys() if wanted[name] != found[name]},
    )


# Checks without running


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and layers; `nox -s lint -- --fix` mends what can be mended."""
    session.install(*group("lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []))
    session.run("ruff", "format", *([] if fix else ["--check"]))
    session.run(
        "lint-imports",
        "--no-cache",
        env={"PYTHONPATH": os.pathsep.join(map(str, [ROOT, GENERATED.parent]))},
    )


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of everything written here, tests and benchmarks too."""
    install(session, "types")
    session.run("mypy")
    session.run("pyright")


@nox.session
def consumer(session: nox.Session) -> None:
    """Check types as a user sees them: tests/consumer against the installed wheel alone."""
    session.install(".", *group("checkers"))
    with tempfile.TemporaryDirectory() as outside:
        shutil.copytree(ROOT / "tests" / "consumer", outside, dirs_exist_ok=True)
        with session.chdir(outside):
            session.run("mypy", "--strict", "--warn-unused-ignores", ".")
            session.run("pyright", ".")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site; a warning is an error."""
    install(session, "docs")
    quiet = {"NO_MKDOCS_2_WARNING": "1"}  # which is about versions that are not asked for
    session.run("mkdocs", "build", "--strict", *session.posargs, env=quiet)


# Archives


@nox.session
def build(session: nox.Session) -> None:
    """Build wheel and sdist into dist/, check what is in them, and install both to try them."""
    shutil.rmtree(DIST, ignore_errors=True)
    session.install(*group("build"))
    build_archives(session, DIST)
    for python in sorted({OLDEST, RUNNING}):
        session.notify(f"installed-{python}(wheel)")
        session.notify(f"installed-{python}(sdist)")


@nox.session(python=PYTHONS)
@nox.parametrize("pattern", [nox.param("*.whl", id="wheel"), nox.param("*.tar.gz", id="sdist")])
def installed(session: nox.Session, pattern: str) -> None:
    """Install an archive from dist/ into a clean environment and import both packages from it."""
    archives = list(DIST.glob(pattern))
    if len(archives) != 1:
        session.error(f"dist/ should hold one {pattern}; run `nox -s build`")
    session.install(str(archives[0]))
    with tempfile.TemporaryDirectory() as outside, session.chdir(outside):
        for package in ["upgrade_client_lib", "upgrade_client_lib.testing", "upgrade_openapi"]:
            # -I leaves the current folder out of sys.path, so that only what is installed is found.
            session.run("python", "-I", "-W", "error", "-c", f"from {package} import *")


@nox.session
def release(session: nox.Session) -> None:
    """Check that everything is ready, build twice, and release; -- --dry-run only tells what.

    Wanted are a version and a dated changelog entry for it, real addresses of the project, a clean
    tree, archives that hold what git tracks and nothing else, and the same bytes from both builds.
    """
    dry_run = "--dry-run" in session.posargs
    session.install(*group("release"))
    if git(session, "status", "--porcelain"):
        session.error("The tree is not clean: commit or remove what `git status` shows")
    version = version_of_package()
    check_version(session, version, dry_run)
    check_addresses(session, dry_run)

    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        archives = build_archives(session, Path(first))
        again = build_archives(session, Path(second))
        for archive, twin in zip(archives, again):
            if digest(archive) != digest(twin):
                session.error(f"Two builds of {archive.name} differ")
            session.log(f"{digest(archive)}  {archive.name}")
        session.run("twine", "check", "--strict", *map(str, archives), silent=True)
        for command in [
            ["git", "tag", "--annotate", f"v{version}", "--message", f"Version {version}"],
            ["twine", "upload", *map(str, archives)],
            ["git", "push", "origin", f"v{version}"],
        ]:
            if dry_run:
                session.log(f"would run: {' '.join(command)}")
            else:
                session.run(*command, external=True)


# What sessions share


def group(*names: str) -> tuple[str, ...]:
    """Return the requirements of dependency groups in pyproject.toml."""
    return nox.project.dependency_groups(PROJECT, *names)


def lowest(requirements: list[str]) -> list[str]:
    """Return requirements of the lowest version of each that is allowed."""
    return [re.sub(r">=([^,;]+)[^;]*", r"==\1", requirement) for requirement in requirements]


def install(session: nox.Session, *groups: str) -> None:
    """Install the project as it lies here, and what dependency groups ask for."""
    session.install("-e", ".", *group(*groups))


def install_sdks(session: nox.Session) -> None:
    """Install what the benchmarks compare with; results name those that do not install here."""
    for sdk in group("sdks"):
        session.install(sdk, success_codes=range(256))


def git(session: nox.Session, *arguments: str) -> str:
    """Return what git answers."""
    return str(session.run("git", *arguments, external=True, silent=True, log=False)).strip()


def complain(session: nox.Session, problem: str, **names: set[str]) -> None:
    """Fail the session, naming the files, unless all sets of names are empty."""
    lines = [f"  {what}: {name}" for what, those in names.items() for name in sorted(those)]
    if lines:
        session.error("\n".join([problem, *lines]))


def change_of(session: nox.Session, mutant: str) -> str:
    """Say in one line where and how a mutant differs; the numbers in mutants' names change."""
    where = mutant.rpartition("__mutmut_")[0]
    for mangled, plain in [(".x\u01c1", "."), ("\u01c1", "."), (".x_", ".")]:
        where = where.replace(mangled, plain)
    diff = str(session.run("mutmut", "show", mutant, silent=True, log=False)).splitlines()
    removed, added = (
        " ".join(line[1:].strip() for line in diff if re.match(rf"[{sign}](?![-+]{{2}})", line))
        for sign in "-+"
    )
    return f"{where}: {removed} -> {added}"


@contextlib.contextmanager
def compiled_spec(session: nox.Session) -> Generator[Path, None, None]:
    """Compile the spec into an empty folder, so that nothing stale can stay, and lend it."""
    session.install(*group("generate"))
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / GENERATED.name
        session.run(
            "openapi-python-client",
            "generate",
            f"--path={SPEC}",
            f"--config={GENERATOR_SETTINGS}",
            f"--custom-template-path={GENERATOR_TEMPLATES}",
            f"--output-path={package}",
            "--meta=none",
            "--fail-on-warning",
        )
        (package / "py.typed").touch()
        yield package


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by their relative names; what Python cached is left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def version_of_package() -> str:
    """Return the version from its one place."""
    text = (ROOT / "upgrade_client_lib" / "_version.py").read_text(encoding="utf-8")
    return text.split('__version__ = "')[1].split('"')[0]


def check_version(session: nox.Session, version: str, dry_run: bool) -> None:
    """Want a final version, dated in the changelog, that no page calls future; a dry run warns."""
    entry = re.search(
        rf"^## \[{re.escape(version)}\] - (.+)$",
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    if not entry:
        session.error(f"CHANGELOG.md has no entry `## [{version}] - DATE`")
    problem = session.warn if dry_run else session.error
    if ".dev" in version or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", entry[1]):
        problem(f"{version} ({entry[1]}) cannot be released: set a final version and its date")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        if "\nUntil 7.0 is on PyPI" in page.read_text(encoding="utf-8"):
            problem(f"{page.name} still says `Until 7.0 is on PyPI`")


def check_addresses(session: nox.Session, dry_run: bool) -> None:
    """Want addresses of the project that somebody can own; a dry run warns."""
    problem = session.warn if dry_run else session.error
    urls: dict[str, str] = PROJECT["project"]["urls"]
    for label, address in urls.items():
        host = f".{urlsplit(address).hostname}"
        if host.endswith(RESERVED_NAMES):
            problem(f"{label} in [project.urls] is a placeholder: {address}")


def build_archives(session: nox.Session, folder: Path) -> list[Path]:
    """Build sdist and wheel; fail unless they hold the files that git knows, and no others."""
    # The commit's time goes into the archives, so that one commit always gives the same bytes.
    epoch = git(session, "log", "-1", "--format=%ct")
    session.run(
        "python",
        "-m",
        "build",
        f"--outdir={folder}",
        env={"SOURCE_DATE_EPOCH": epoch},
        silent=True,
    )
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")

    known = git(session, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    files = {name for name in known if (ROOT / name).is_file()}
    with tarfile.open(sdist) as archive:
        in_sdist = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    wanted = {name for name in files if not name.startswith(".")} | {".gitignore", "PKG-INFO"}
    check_contents(session, sdist, wanted, in_sdist)

    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    about = f"upgrade_client_lib-{version_of_package()}.dist-info/"
    wanted = {
        name.removeprefix("generated/")
        for name in files
        if name.startswith(("upgrade_client_lib/", "generated/upgrade_openapi/"))
    } | {
        about + name
        for name in ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"]
    }
    check_contents(session, wheel, wanted, in_wheel)
    return [sdist, wheel]


def check_contents(session: nox.Session, archive: Path, wanted: set[str], found: set[str]) -> None:
    """Fail the session unless an archive holds what it should."""
    complain(
        session,
        f"{archive.name} does not hold what it should",
        missing=wanted - found,
        unexpected=found - wanted,
    )


def digest(archive: Path) -> str:
    """Return an archive's SHA-256."""
    return hashlib.sha256(archive.read_bytes()).hexdigest()
