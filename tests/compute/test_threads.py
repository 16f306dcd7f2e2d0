"""What is computed does not depend on the number of threads."""

import os
import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
    import hashlib
    import numpy as np
    from recli.encoders import tfidf
    from recli.models.content_knn import nearest
    from recli.models.text_factors import predict_factors
    from recli.reporting import no_progress

    rng = np.random.default_rng(0)
    words = [f"word{n}" for n in range(3000)]
    texts = [" ".join(rng.choice(words, 40)) for _ in range(700)]
    vectors = tfidf.encode(texts, texts, 200, 0)
    features = rng.standard_normal((700, 584)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cold = np.arange(700) % 9 == 0
    similar = nearest(features, cold, 20, 2.0, no_progress)
    factors = predict_factors(features, rng.standard_normal((700, 256)).astype(np.float32), ~cold, 1.0)
    for array in (vectors, similar.data, similar.indices, factors):
        print(hashlib.sha256(np.ascontiguousarray(array).data).hexdigest())
"""


@pytest.mark.slow
def test_the_sources_of_a_hybrid_have_the_same_bytes_with_any_number_of_threads() -> None:
    found = []
    for number in ("1", "2", "3"):
        threads = {f"{name}_NUM_THREADS": number for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SCRIPT)],
            env=os.environ | threads,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(done.stdout.split())
    assert len(found[0]) == 4
    assert found[0] == found[1] == found[2]
