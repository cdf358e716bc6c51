"""`make test`, the README's test command, under each Python version that the project supports: `make test-pythons`."""

import tempfile

import nox

nox.options.default_venv_backend = "uv"  # fetches Python versions that are not installed
nox.options.error_on_missing_interpreters = True


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Test the last commit: a fresh clone with its own environment (several GB) in a temporary folder."""
    with tempfile.TemporaryDirectory() as clone:
        session.run("git", "clone", "--quiet", session.invoked_from, clone, external=True)
        with session.chdir(clone):
            session.run("make", "test", f"PYTHON={session.bin}/python", external=True)
