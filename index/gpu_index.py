"""FAISS, flat, on an NVIDIA GPU: the same vectors in half precision, in the GPU's memory."""

import threading

import faiss

from index.errors import IndexDeviceError
from index.exact import ExactIndex
from index.faiss_index import FlatIndex
from index.protocol import AllowedRows, Floats, Ints, checked_queries, num_found, unit_rows

MAX_K = 2048
"""The most neighbours that FAISS finds on a GPU."""


class GpuIndex(FlatIndex):
    """Cosine search on one GPU.

    FAISS neither selects rows on a GPU nor finds more than 2,048 neighbours there. Searches that need more go to the
    processor, over the float32 vectors, which a snapshot maps from its file and a GPU host has the memory for.
    """

    def __init__(self, vectors: Floats) -> None:
        """Copy [N, D] unit vectors to the GPU.

        Raises:
            VectorsError: see `unit_rows`.
            IndexDeviceError: there is no GPU, this FAISS can't use it, or its memory is too small.
        """
        require_gpu()
        rows = unit_rows(vectors)
        config = faiss.GpuIndexFlatConfig()
        config.useFloat16 = True
        try:
            self._resources = faiss.StandardGpuResources()
            super().__init__(faiss.GpuIndexFlatIP(self._resources, rows.shape[1], config))
            self._flat.add(rows)
        except RuntimeError as error:
            raise IndexDeviceError(f"{len(rows)} vectors of {rows.shape[1]} do not go to the GPU: {error}") from error
        self._exact = ExactIndex(rows)
        self._lock = threading.Lock()  # the GPU's scratch memory is not to be shared between threads

    def search(self, queries: Floats, k: int, allowed: AllowedRows | None = None) -> tuple[Floats, Ints]:
        """See `VectorIndex.search`."""
        rows = checked_queries(queries, k, self.dim)
        num = num_found(k, self.num_vectors, allowed)
        if allowed is not None or num > MAX_K:
            return self._exact.search(rows, k, allowed)
        with self._lock:
            scores, found = self._flat.search(rows, num)
        return scores, found


def require_gpu() -> None:
    """Make sure that FAISS can search on a GPU here.

    Raises:
        IndexDeviceError: it can't, and why.
    """
    if not hasattr(faiss, "StandardGpuResources"):
        raise IndexDeviceError(
            "an index on a GPU was asked for; this FAISS is built without. Install the gpu group"
            " (`uv sync --no-default-groups --group gpu`), or set SIGNDEX_INDEX_DEVICE=cpu"
        )
    if faiss.get_num_gpus() < 1:
        raise IndexDeviceError(
            "an index on a GPU was asked for; FAISS sees none: the driver is missing or too old. Mend that, or set"
            " SIGNDEX_INDEX_DEVICE=cpu"
        )
