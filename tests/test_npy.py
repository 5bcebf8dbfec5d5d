"""Arrays as they travel: our bytes are those of numpy and of Flower, and come back as they were."""

from io import BytesIO

import numpy as np
from flwr.app import Array
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from federated.exchange.npy import read_npy, write_npy
from federated.exchange.wire import pack_groups

DTYPES = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, bool])


@given(arrays(DTYPES, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
def test_the_bytes_are_those_of_numpy_and_of_flower(array: np.ndarray) -> None:
    file = BytesIO()
    np.save(file, array, allow_pickle=False)
    assert write_npy(array) == file.getvalue()
    ours = pack_groups({"weights/w": array})["weights"]["w"]
    theirs = Array(array)
    assert vars(ours) == vars(theirs)
    back = read_npy(ours.data)
    assert back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes()
