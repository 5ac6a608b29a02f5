from typing import Any
import pytest
from tests.cluster import Cluster, Play


@pytest.fixture(scope="session")
def first_run(cluster: Cluster) -> Any:
    return Play(0, "")
