"""Column names, array types, format versions and part kinds that all stored artifacts share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from scipy.sparse import csr_matrix

    CSR = csr_matrix
    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]
    Int32 = npt.NDArray[np.int32]
    Int64 = npt.NDArray[np.int64]
    UInt64 = npt.NDArray[np.uint64]
    Bool = npt.NDArray[np.bool_]
    State = dict[str, npt.NDArray[Any]]  # a model's arrays by name, as safetensors stores them
else:  # numpy takes longer to load than `--help` to be shown
    CSR = Float32 = Float64 = Int32 = Int64 = UInt64 = Bool = Any
    State = dict[str, Any]

VERSION = "0.1.0"  # of recli, as manifests have it
FORMAT = 2  # the newest format of a part; raised when an older recli could not read a newer part
PLAIN = 1  # the format of parts whose arrays are stored as they are used; those of `recli.storage.quantization` have 2

USER_ID = "user_id"  # id in the log, a string (007 is not 7)
ITEM_ID = "item_id"
USER = "user"  # its row number, int32: the dense rank of the binary-sorted ids
ITEM = "item"
VALUE = "value"  # float32, weight of an interaction (confidence), > 0
RATING = "rating"  # float32, only where the log has ratings
TIMESTAMP = "timestamp"  # int64, in the log's unit: microseconds
POSITION = (
    "position"  # int64, rank of the event in time, if the log's rows are in order (`prepare --in-order`)
)
NEGATIVE = "negative"  # float32, how strongly a user disliked an item; 0: it was merely seen
SPLIT = "split"  # one of SPLITS
TEXT = "text"
COLD = "cold"  # bool: no training event

SEEN = "seen"  # the table of events that are known, but that no model is to like an item for
GIVEN = "given"  # in the summary of a hybrid: the options that were not the defaults
INTERACTIONS = "interactions"
EMBEDDINGS = "embeddings"
MODELS = "models"
METRICS = "metrics"
RECOMMENDATIONS = "recommendations"


@dataclass(frozen=True)
class PartKind:
    """A kind of part: RUN/KIND or, where a run has several, RUN/KIND/NAME."""

    name: str
    remedy: str  # what to type where there is none; {run}: the run's path
    several: bool = False


PART_KINDS = {
    kind.name: kind
    for kind in (
        PartKind(INTERACTIONS, "make it with: recli prepare LOG --out {run}"),
        PartKind(EMBEDDINGS, "make it with: recli embed {run}", several=True),
        PartKind(MODELS, "make it with: recli train-cf {run} --algorithm ...", several=True),
        PartKind(METRICS, "make it with: recli evaluate {run}"),
        PartKind(RECOMMENDATIONS, "make it with: recli recommend {run} --save"),
    )
}

SPLITS = ("train", "validation", "test", "history")


@dataclass(frozen=True)
class EmbeddingMeta:
    """How the vectors of an embeddings part were made: everything needed to encode another text the same way."""

    model: str = ""  # "": made by no encoder that recli can use again
    revision: str | None = None
    pooling: str = "auto"
    max_tokens: int | None = None
    prompt: str | None = None
    dim: int | None = None
    center: bool = True
    storage_dtype: str = "float32"
    seed: int = 0
    dtype: str = "auto"
    batch_tokens: int | None = None
    trust_remote_code: bool = False
    vectors: str | None = None  # names of the files that they come from, where nothing was encoded
    ids: str | None = None
    # measured, of a pretrained encoder
    weights_sha256: dict[str, str] | None = None  # by file name
    raw_dimensions: int = 0
    reduction: str = "none"
