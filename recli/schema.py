"""Names and types that every artifact agrees on: written once, read everywhere."""

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

FORMAT = 2  # the newest format of a part; raised when an older recli could not read a newer part
PLAIN = 1  # the format of parts whose arrays are stored as they are used; those of `recli.storage.quantization` have 2

USER_ID = "user_id"  # the outside key, a string (007 is not 7)
ITEM_ID = "item_id"
USER = "user"  # its row number, int32: the dense rank of the binary-sorted ids
ITEM = "item"
VALUE = "value"  # float32, weight of an interaction (confidence), > 0
RATING = "rating"  # float32, only where the log has ratings
TIMESTAMP = "timestamp"  # int64, in the log's unit: microseconds
POSITION = "position"  # int64, the event's place in time, where the log's rows tell it (`prepare --in-order`)
TEXT = "text"
COLD = "cold"  # bool: no training event

INTERACTIONS = "interactions"
EMBEDDINGS = "embeddings"
MODELS = "models"
METRICS = "metrics"
RECOMMENDATIONS = "recommendations"

SPLITS = ("train", "validation", "test", "history")
