"""The example configurations that come with the package."""

import re
from importlib import resources
from pathlib import Path

from jaxgossip.core import disk
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import nearest


def examples_folder() -> Path:
    """Return the folder of the examples: inside an installed package, or ``configs/`` of the checkout."""
    installed = Path(str(resources.files("jaxgossip"))) / "configs"
    return installed if installed.is_dir() else installed.parent.parent / "configs"


def examples() -> dict[str, str]:
    """Return the names of the examples, each with the first sentence of its opening comment."""
    return {path.stem: _opening(path) for path in sorted(examples_folder().glob("*.toml"))}


def write_example(name: str, out: Path, *, force: bool) -> list[Path]:
    """Write the example ``name`` to ``out``, and the files that it names beside it; return the paths of all of them.

    Raises:
        ConfigError: the example is unknown, or a file exists and ``force`` is not set.
    """
    known = examples()
    if name not in known:
        raise ConfigError(f"unknown example '{name}'", hint=nearest(name, known))
    source = examples_folder() / f"{name}.toml"
    named = re.findall(r'=\s*"([^"/:]+\.\w+)(?::\w+)?"', source.read_text(encoding="utf-8"))
    companions = [name for name in named if (source.parent / name).is_file()]
    pairs = [(source, out), *((source.parent / name, out.parent / name) for name in companions)]
    for _, target in pairs:
        if target.exists() and not force:
            raise ConfigError(f"{target} is there already", hint="--force overwrites it, --out names another file")
    disk.make_folder(out.parent, parents=True)
    for origin, target in pairs:
        disk.write(target, origin.read_bytes())
    return [target for _, target in pairs]


def _opening(path: Path) -> str:
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines).split(". ")[0].rstrip(".")
