"""Reading of the configuration and manifest in a run folder, without checks against builders, which may have changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxgossip.core.disk import MODELS
from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.results.folder import MANIFEST, checked_manifest
from jaxgossip.experiment.results.inputs import CONFIG, accepted, digest


def manifest_at(folder: Path) -> Mapping[str, Any]:
    """Return the manifest of a run, empty if the run was killed before it was written.

    Raises:
        ConfigError: the manifest is damaged, or the configuration is not the one that was run.
    """
    if not (folder / MANIFEST).is_file():
        return {}
    manifest = checked_manifest(folder)
    accepted(manifest, folder, lambda _: None, only=(CONFIG,))
    return manifest


def evaluated_every(config: Mapping[str, Any], manifest: Mapping[str, Any]) -> int | None:
    """Return the rounds between evaluations; None if unknown, or if the configuration was changed when resuming."""
    if manifest.get("first_round"):  # it continued another run, in a round of any number
        return None
    changed = [session.get("changed") for session in manifest.get("resumed", []) if isinstance(session, Mapping)]
    if any(CONFIG in names for names in changed if isinstance(names, list)):
        return None
    evaluation = config.get("evaluation")
    every = evaluation.get("every") if isinstance(evaluation, Mapping) else None
    return every if type(every) is int and every > 0 else None


def config_of_saved(folder: Path, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return, from the manifest of a saved result, what its configuration would hold.

    The runs of a sweep have its folder and their point, so that those of a point differ in their seeds alone.
    """
    settings, found = manifest.get("settings", {}), {"name": manifest.get("name", "")}
    found |= {key: settings[key] for key in ("seed", "rounds") if isinstance(settings.get(key), int)}
    evaluation = {key.removeprefix("evaluate_"): settings.get(key) for key in ("evaluate_every", "sampled_nodes")}
    whole = {key: value for key, value in evaluation.items() if isinstance(value, int)}
    point = manifest.get("point")
    sweep = {"sweep": str(folder.absolute().parent), "point": point}
    what = {"algorithm": {"kind": manifest.get("name", "")}} if point is None else sweep
    return found | what | {"evaluation": whole}


def models_at(folder: Path, manifest: Mapping[str, Any]) -> np.ndarray:
    """Return x (n, p), of the dtype that the models had, of a result that was saved from Python.

    Raises:
        ConfigError: the folder holds none, or not those that were written.
    """
    path = folder / MODELS
    if not path.is_file():
        hint = "'jaxgossip run' keeps none; result.save(folder) does"
        raise ConfigError(f"{folder} holds no models: it has no {MODELS}", hint=hint)
    if manifest.get("models_sha256") not in (None, digest(path)):
        raise ConfigError(f"{path} is not what was saved", hint="put the file back as it was, or save the result again")
    with np.load(path, allow_pickle=False) as file:
        x = file["x"]
    import jax.numpy as jnp

    return x.view(jnp.bfloat16) if manifest.get("dtype") == "bfloat16" else x


def config_at(path: Path) -> Mapping[str, Any]:
    """Return a run's configuration as tables, checking only tables and numbers; kinds and keys may be of any version.

    Raises:
        ConfigError: the file is not TOML, or a table or number has another type.
    """
    from jaxgossip.experiment.config import toml
    from jaxgossip.experiment.config.sections import SECTIONS, Evaluation, Network

    tree = toml.read(path)
    for name in (*SECTIONS, "learning", "network", "evaluation"):
        if not isinstance(tree.get(name, {}), Mapping):
            raise ConfigError(f"{path}: {name}: expected a table", hint="put the file back as the run left it")
    numbers = [("topology", "nodes"), ("optimizer", "learning_rate"), ("evaluation", "target")]
    for name, table in (("network", Network), ("evaluation", Evaluation)):
        fields = table.model_fields.items()
        numbers += [(name, key) for key, field in fields if type(field.default) in (int, float)]
    for name, key in numbers:
        value = tree.get(name, {}).get(key, 0)
        if key == "learning_rate" and isinstance(value, Mapping) and isinstance(value.get("kind"), str):
            continue  # one that changes
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ConfigError(f"{path}: {name}.{key}: expected a number", hint="put the file back as the run left it")
    return tree
