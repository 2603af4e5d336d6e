"""The bundled model behind OpenAI's interface, by LitServe: openai_server.py PORT."""

from __future__ import annotations

import sys
from typing import Any

import litserve
import litserve.server
from sentence_transformers import SentenceTransformer

from taskembed.models.files import BUNDLED, Hub


class Embeddings(litserve.LitAPI):  # type: ignore[misc]  # it has no types
    def setup(self, device: str) -> None:
        folder = Hub(offline=True).folder(BUNDLED)[0]
        self.model = SentenceTransformer(str(folder), device="cpu")

    def decode_request(self, request: Any) -> list[str]:  # noqa: ANN401  # its own type
        return list(request.ensure_list())

    def predict(self, texts: list[str]) -> Any:  # noqa: ANN401  # an array
        return self.model.encode(texts)

    def encode_response(self, vectors: Any) -> dict[str, Any]:  # noqa: ANN401  # an array
        return {"embeddings": vectors.tolist()}


if __name__ == "__main__":
    # LitServe 0.2.19 has a server of its own for agents as soon as `mcp` is installed, and that
    # fails unless `fastmcp` is installed too.
    litserve.server._MCP_AVAILABLE = False  # it has no setting for it
    api = Embeddings(spec=litserve.OpenAIEmbeddingSpec())
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
