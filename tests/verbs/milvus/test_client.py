"""What the errors of a server become, and that nobody waits for ever."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from pymilvus.exceptions import MilvusException

from taskembed.errors import (
    AccessDeniedError,
    NotFoundError,
    ServerUnavailableError,
    StorageError,
    TaskembedError,
)
from taskembed.verbs.milvus import client as clients
from taskembed.verbs.milvus.addresses import CollectionAddress
from taskembed.verbs.milvus.client import Client

pytestmark = pytest.mark.slow  # the library takes a second to load


class GrpcError(grpc.RpcError):  # type: ignore[misc]  # the library has no types
    """An error as gRPC raises it."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAUTHENTICATED

    def details(self) -> str:
        return "who are you?"


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServerUnavailableError, match="the server cannot be reached") as caught:
        Client(CollectionAddress(uri, "notes"))
    assert caught.value.message.startswith(uri.replace("http", "milvus") + "/notes: ")
    assert "again later" in str(caught.value.hint)


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ServerUnavailableError, match="does not answer in time"):
            Client(CollectionAddress(uri, "notes"))
    assert time.monotonic() - began < 30


def refused(error: Exception, tmp_path: Path) -> TaskembedError:
    """Return what an error of the library becomes."""

    class Failing:
        def has_collection(self, *_: object, **__: object) -> bool:
            raise error

        def close(self) -> None:
            pass

    client = Client(CollectionAddress(str(tmp_path / "x.db"), "notes"), creates=True)
    real: Any = client._client
    client._client = Failing()
    try:
        client.exists()
    except TaskembedError as ours:
        return ours
    finally:
        real.close()
        client.close()
    raise AssertionError("nothing was raised")


def test_errors_of_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILVUS_TOKEN", "me:secret")
    absent = refused(MilvusException(100, "collection not found"), tmp_path)
    assert isinstance(absent, NotFoundError)
    denied = refused(MilvusException(1400, "auth check failure: me:secret"), tmp_path)
    assert isinstance(denied, AccessDeniedError)
    assert "secret" not in denied.message
    assert "MILVUS_TOKEN" in str(denied.hint)
    unknown = refused(GrpcError(), tmp_path)
    assert isinstance(unknown, AccessDeniedError)
    assert unknown.message.endswith("StatusCode.UNAUTHENTICATED: who are you?")
    failed = refused(MilvusException(5, "node lost"), tmp_path)
    assert isinstance(failed, ServerUnavailableError)
    assert failed.message.endswith("/notes: Milvus failed: node lost")
    full = MilvusException(1, "wrapped")
    full.__cause__ = OSError(28, "no space")
    assert isinstance(refused(full, tmp_path), StorageError)
