"""Every prompt of every model, written here a second time by hand, and every refusal's exact words.

Nothing here is derived from models.toml: such a case would agree with its mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple

import pytest

from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.families import Family, parse_families
from taskembed.models import ModelSpec, Stated, families, find_family
from taskembed.models import resolve as resolve_stated
from taskembed.space import Task

BGE = "Represent this sentence for searching relevant passages: "
BGE_ZH = "为这个句子生成表示以用于检索相关文章\N{FULLWIDTH COLON}"

# With a space after "Query:"; Qwen3-Embedding has none.
E5_SEARCH = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
)
E5_SIMILAR = "Instruct: Retrieve semantically similar text.\nQuery: "
E5_CLASSIFY = "Instruct: Classify user passages.\nQuery: "
E5_CLUSTER = "Instruct: Identify categories in user passages.\nQuery: "
E5_CODE = (
    "Instruct: Retrieve the most relevant code implementation for the given problem description."
    "\nQuery: "
)
QWEN_SEARCH = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
)
QWEN_SIMILAR = "Instruct: Retrieve semantically similar text.\nQuery:"
QWEN_CLASSIFY = "Instruct: Classify user passages.\nQuery:"
QWEN_CLUSTER = "Instruct: Identify categories in user passages.\nQuery:"
QWEN_CODE = (
    "Instruct: Retrieve the most relevant code implementation for the given problem description."
    "\nQuery:"
)
INSTRUCTOR_QUERY = "Represent the question for retrieving supporting documents:"
INSTRUCTOR_DOCUMENT = "Represent the document for retrieval:"
INSTRUCTOR_CLASSIFY = "Represent the sentence for classification:"
INSTRUCTOR_CLUSTER = "Represent the sentence for clustering:"
ZEMBED_QUERY = "<|im_start|>system\nquery<|im_end|>\n<|im_start|>user\n"
ZEMBED_DOCUMENT = "<|im_start|>system\ndocument<|im_end|>\n<|im_start|>user\n"
GEMMA_SIMILAR = "task: sentence similarity | query: "
JINA_V3_QUERY = "Represent the query for retrieving evidence documents: "
JINA_V3_DOCUMENT = "Represent the document for retrieval: "

MERGED = [  # the pre-merged siblings of Jina v5: each has the task of its name, and no other
    ("retrieval", "retrieval", "Query: "),
    ("text-matching", "similarity", "Document: "),
    ("classification", "classification", "Document: "),
    ("clustering", "clustering", "Document: "),
]

# family, task, prompt of the query, prompt of the document
PROMPTS = [
    ("minilm", "retrieval", "", ""),
    ("minilm", "similarity", "", ""),
    ("minilm", "classification", "", ""),
    ("minilm", "clustering", "", ""),
    ("minilm", "code", "", ""),
    ("e5", "retrieval", "query: ", "passage: "),
    ("e5", "similarity", "query: ", "query: "),
    ("e5", "classification", "query: ", "query: "),
    ("e5", "clustering", "query: ", "query: "),
    ("e5-v1", "retrieval", "query: ", "passage: "),
    ("e5-v1", "similarity", "query: ", "query: "),
    ("e5-v1", "classification", "query: ", "query: "),
    ("e5-v1", "clustering", "query: ", "query: "),
    ("multilingual-e5", "retrieval", "query: ", "passage: "),
    ("multilingual-e5", "similarity", "query: ", "query: "),
    ("multilingual-e5", "classification", "query: ", "query: "),
    ("multilingual-e5", "clustering", "query: ", "query: "),
    ("multilingual-e5-instruct", "retrieval", E5_SEARCH, ""),
    ("multilingual-e5-instruct", "similarity", E5_SIMILAR, E5_SIMILAR),
    ("multilingual-e5-instruct", "classification", E5_CLASSIFY, E5_CLASSIFY),
    ("multilingual-e5-instruct", "clustering", E5_CLUSTER, E5_CLUSTER),
    ("gte-qwen2-instruct", "retrieval", E5_SEARCH, ""),
    ("gte-qwen2-instruct", "similarity", E5_SIMILAR, E5_SIMILAR),
    ("gte-qwen2-instruct", "classification", E5_CLASSIFY, E5_CLASSIFY),
    ("gte-qwen2-instruct", "clustering", E5_CLUSTER, E5_CLUSTER),
    ("gte-qwen2-instruct", "code", E5_CODE, ""),
    ("qwen3-embedding", "retrieval", QWEN_SEARCH, ""),
    ("qwen3-embedding", "similarity", QWEN_SIMILAR, QWEN_SIMILAR),
    ("qwen3-embedding", "classification", QWEN_CLASSIFY, QWEN_CLASSIFY),
    ("qwen3-embedding", "clustering", QWEN_CLUSTER, QWEN_CLUSTER),
    ("qwen3-embedding", "code", QWEN_CODE, ""),
    ("bge-en-v1.5", "retrieval", BGE, ""),
    ("bge-en-v1.5", "similarity", "", ""),
    ("bge-en-v1.5", "classification", "", ""),
    ("bge-en-v1.5", "clustering", "", ""),
    ("bge-zh-v1.5", "retrieval", BGE_ZH, ""),
    ("bge-zh-v1.5", "similarity", "", ""),
    ("bge-zh-v1.5", "classification", "", ""),
    ("bge-zh-v1.5", "clustering", "", ""),
    ("arctic-v1", "retrieval", BGE, ""),
    ("arctic-v1", "similarity", "", ""),
    ("arctic-v1", "classification", "", ""),
    ("arctic-v1", "clustering", "", ""),
    ("arctic-v1-long", "retrieval", BGE, ""),
    ("arctic-v1-long", "similarity", "", ""),
    ("arctic-v1-long", "classification", "", ""),
    ("arctic-v1-long", "clustering", "", ""),
    ("arctic-v1.5", "retrieval", BGE, ""),
    ("arctic-v1.5", "similarity", "", ""),
    ("arctic-v1.5", "classification", "", ""),
    ("arctic-v1.5", "clustering", "", ""),
    ("arctic-v2-m", "retrieval", "query: ", ""),
    ("arctic-v2-m", "similarity", "", ""),
    ("arctic-v2-m", "classification", "", ""),
    ("arctic-v2-m", "clustering", "", ""),
    ("arctic-v2-l", "retrieval", "query: ", ""),
    ("arctic-v2-l", "similarity", "", ""),
    ("arctic-v2-l", "classification", "", ""),
    ("arctic-v2-l", "clustering", "", ""),
    ("mxbai", "retrieval", BGE, ""),
    ("mxbai", "similarity", "", ""),
    ("mxbai", "classification", "", ""),
    ("mxbai", "clustering", "", ""),
    ("bge-m3", "retrieval", "", ""),
    ("bge-m3", "similarity", "", ""),
    ("bge-m3", "classification", "", ""),
    ("bge-m3", "clustering", "", ""),
    ("gte", "retrieval", "", ""),
    ("gte", "similarity", "", ""),
    ("gte", "classification", "", ""),
    ("gte", "clustering", "", ""),
    ("gte-v1.5", "retrieval", "", ""),
    ("gte-v1.5", "similarity", "", ""),
    ("gte-v1.5", "classification", "", ""),
    ("gte-v1.5", "clustering", "", ""),
    ("gte-modernbert", "retrieval", "", ""),
    ("gte-modernbert", "similarity", "", ""),
    ("gte-modernbert", "classification", "", ""),
    ("gte-modernbert", "clustering", "", ""),
    ("granite-r2", "retrieval", "", ""),
    ("granite-r2", "similarity", "", ""),
    ("granite-r2", "classification", "", ""),
    ("granite-r2", "clustering", "", ""),
    ("granite-r2", "code", "", ""),
    ("granite-r2-multilingual-97m", "retrieval", "", ""),
    ("granite-r2-multilingual-97m", "similarity", "", ""),
    ("granite-r2-multilingual-97m", "classification", "", ""),
    ("granite-r2-multilingual-97m", "clustering", "", ""),
    ("granite-r2-multilingual-97m", "code", "", ""),
    ("granite-r2-multilingual-311m", "retrieval", "", ""),
    ("granite-r2-multilingual-311m", "similarity", "", ""),
    ("granite-r2-multilingual-311m", "classification", "", ""),
    ("granite-r2-multilingual-311m", "clustering", "", ""),
    ("granite-r2-multilingual-311m", "code", "", ""),
    ("instructor", "retrieval", INSTRUCTOR_QUERY, INSTRUCTOR_DOCUMENT),
    ("instructor", "similarity", "Represent the statement:", "Represent the statement:"),
    ("instructor", "classification", INSTRUCTOR_CLASSIFY, INSTRUCTOR_CLASSIFY),
    ("instructor", "clustering", INSTRUCTOR_CLUSTER, INSTRUCTOR_CLUSTER),
    ("embeddinggemma", "retrieval", "task: search result | query: ", "title: none | text: "),
    ("embeddinggemma", "similarity", GEMMA_SIMILAR, GEMMA_SIMILAR),
    (
        "embeddinggemma",
        "classification",
        "task: classification | query: ",
        "task: classification | query: ",
    ),
    ("embeddinggemma", "clustering", "task: clustering | query: ", "task: clustering | query: "),
    ("embeddinggemma", "code", "task: code retrieval | query: ", "title: none | text: "),
    ("nomic-v1.5", "retrieval", "search_query: ", "search_document: "),
    ("nomic-v1.5", "similarity", "classification: ", "classification: "),
    ("nomic-v1.5", "classification", "classification: ", "classification: "),
    ("nomic-v1.5", "clustering", "clustering: ", "clustering: "),
    ("nomic-v2-moe", "retrieval", "search_query: ", "search_document: "),
    ("nomic-v2-moe", "similarity", "classification: ", "classification: "),
    ("nomic-v2-moe", "classification", "classification: ", "classification: "),
    ("nomic-v2-moe", "clustering", "clustering: ", "clustering: "),
    ("zembed-1", "retrieval", ZEMBED_QUERY, ZEMBED_DOCUMENT),
    *(
        (f"jina-v5-{size}-{adapter}", task, query, "Document: ")
        for size in ("small", "nano")
        for adapter, task, query in MERGED
    ),
]

# family, task, prompts as above, adapter of the query, adapter of the document
ADAPTERS = [
    ("jina-v5-small", "retrieval", "Query: ", "Document: ", "retrieval", "retrieval"),
    ("jina-v5-small", "similarity", "Document: ", "Document: ", "text-matching", "text-matching"),
    (
        *("jina-v5-small", "classification"),
        *("Document: ", "Document: ", "classification", "classification"),
    ),
    ("jina-v5-small", "clustering", "Document: ", "Document: ", "clustering", "clustering"),
    ("jina-v5-nano", "retrieval", "Query: ", "Document: ", "retrieval", "retrieval"),
    ("jina-v5-nano", "similarity", "Document: ", "Document: ", "text-matching", "text-matching"),
    (
        *("jina-v5-nano", "classification"),
        *("Document: ", "Document: ", "classification", "classification"),
    ),
    ("jina-v5-nano", "clustering", "Document: ", "Document: ", "clustering", "clustering"),
    (
        *("jina-v3", "retrieval", JINA_V3_QUERY, JINA_V3_DOCUMENT),
        *("retrieval.query", "retrieval.passage"),
    ),
    ("jina-v3", "similarity", "", "", "text-matching", "text-matching"),
    ("jina-v3", "classification", "", "", "classification", "classification"),
    ("jina-v3", "clustering", "", "", "separation", "separation"),
    (
        *("jina-v3-hf", "retrieval", JINA_V3_QUERY, JINA_V3_DOCUMENT),
        *("retrieval_query", "retrieval_passage"),
    ),
    ("jina-v3-hf", "similarity", "", "", "text_matching", "text_matching"),
    ("jina-v3-hf", "classification", "", "", "classification", "classification"),
    ("jina-v3-hf", "clustering", "", "", "separation", "separation"),
]

# family, task, the request's field, its value for a query, its value for a document
VALUES = [
    ("cohere-v4", "retrieval", "input_type", "search_query", "search_document"),
    ("cohere-v4", "classification", "input_type", "classification", "classification"),
    ("cohere-v4", "clustering", "input_type", "clustering", "clustering"),
    ("voyage", "retrieval", "input_type", "query", "document"),
    ("voyage", "similarity", "input_type", "", ""),
    ("voyage", "classification", "input_type", "", ""),
    ("voyage", "clustering", "input_type", "", ""),
    ("voyage-code", "code", "input_type", "query", "document"),
    ("openai", "retrieval", "", "", ""),
    ("openai", "similarity", "", "", ""),
    ("openai", "classification", "", "", ""),
    ("openai", "clustering", "", "", ""),
    ("gemini", "retrieval", "task_type", "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT"),
    ("gemini", "similarity", "task_type", "SEMANTIC_SIMILARITY", "SEMANTIC_SIMILARITY"),
    ("gemini", "classification", "task_type", "CLASSIFICATION", "CLASSIFICATION"),
    ("gemini", "clustering", "task_type", "CLUSTERING", "CLUSTERING"),
    ("gemini", "code", "task_type", "CODE_RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT"),
    ("jina-api-v5", "retrieval", "task", "retrieval.query", "retrieval.passage"),
    ("jina-api-v5", "similarity", "task", "text-matching", "text-matching"),
    ("jina-api-v5", "classification", "task", "classification", "classification"),
    ("jina-api-v5", "clustering", "task", "clustering", "clustering"),
    ("zeroentropy", "retrieval", "input_type", "query", "document"),
]

# id, family, dimensions
MODELS = [
    ("minilm", "minilm", 384),
    ("sentence-transformers/all-MiniLM-L6-v2", "minilm", 384),
    ("intfloat/e5-small-v2", "e5", 384),
    ("intfloat/e5-base-v2", "e5", 768),
    ("intfloat/e5-large-v2", "e5", 1024),
    ("intfloat/e5-small", "e5-v1", 384),
    ("intfloat/e5-base", "e5-v1", 768),
    ("intfloat/e5-large", "e5-v1", 1024),
    ("intfloat/multilingual-e5-small", "multilingual-e5", 384),
    ("intfloat/multilingual-e5-base", "multilingual-e5", 768),
    ("intfloat/multilingual-e5-large", "multilingual-e5", 1024),
    ("intfloat/multilingual-e5-large-instruct", "multilingual-e5-instruct", 1024),
    ("Alibaba-NLP/gte-Qwen2-1.5B-instruct", "gte-qwen2-instruct", 1536),
    ("Alibaba-NLP/gte-Qwen2-7B-instruct", "gte-qwen2-instruct", 3584),
    ("Qwen/Qwen3-Embedding-0.6B", "qwen3-embedding", 1024),
    ("Qwen/Qwen3-Embedding-4B", "qwen3-embedding", 2560),
    ("Qwen/Qwen3-Embedding-8B", "qwen3-embedding", 4096),
    ("BAAI/bge-small-en-v1.5", "bge-en-v1.5", 384),
    ("BAAI/bge-base-en-v1.5", "bge-en-v1.5", 768),
    ("BAAI/bge-large-en-v1.5", "bge-en-v1.5", 1024),
    ("BAAI/bge-small-zh-v1.5", "bge-zh-v1.5", 512),
    ("BAAI/bge-base-zh-v1.5", "bge-zh-v1.5", 768),
    ("BAAI/bge-large-zh-v1.5", "bge-zh-v1.5", 1024),
    ("Snowflake/snowflake-arctic-embed-xs", "arctic-v1", 384),
    ("Snowflake/snowflake-arctic-embed-s", "arctic-v1", 384),
    ("Snowflake/snowflake-arctic-embed-m", "arctic-v1", 768),
    ("Snowflake/snowflake-arctic-embed-l", "arctic-v1", 1024),
    ("Snowflake/snowflake-arctic-embed-m-long", "arctic-v1-long", 768),
    ("Snowflake/snowflake-arctic-embed-m-v1.5", "arctic-v1.5", 768),
    ("Snowflake/snowflake-arctic-embed-m-v2.0", "arctic-v2-m", 768),
    ("Snowflake/snowflake-arctic-embed-l-v2.0", "arctic-v2-l", 1024),
    ("mixedbread-ai/mxbai-embed-large-v1", "mxbai", 1024),
    ("BAAI/bge-m3", "bge-m3", 1024),
    ("thenlper/gte-small", "gte", 384),
    ("thenlper/gte-base", "gte", 768),
    ("thenlper/gte-large", "gte", 1024),
    ("Alibaba-NLP/gte-base-en-v1.5", "gte-v1.5", 768),
    ("Alibaba-NLP/gte-multilingual-base", "gte-v1.5", 768),
    ("Alibaba-NLP/gte-modernbert-base", "gte-modernbert", 768),
    ("ibm-granite/granite-embedding-english-r2", "granite-r2", 768),
    ("ibm-granite/granite-embedding-small-english-r2", "granite-r2", 384),
    ("ibm-granite/granite-embedding-97m-multilingual-r2", "granite-r2-multilingual-97m", 384),
    ("ibm-granite/granite-embedding-311m-multilingual-r2", "granite-r2-multilingual-311m", 768),
    ("hkunlp/instructor-base", "instructor", 768),
    ("hkunlp/instructor-large", "instructor", 768),
    ("hkunlp/instructor-xl", "instructor", 768),
    ("google/embeddinggemma-300m", "embeddinggemma", 768),
    ("nomic-ai/nomic-embed-text-v1.5", "nomic-v1.5", 768),
    ("nomic-ai/nomic-embed-text-v2-moe", "nomic-v2-moe", 768),
    ("zeroentropy/zembed-1-embedding", "zembed-1", 2560),
    ("jinaai/jina-embeddings-v5-text-small", "jina-v5-small", 1024),
    ("jinaai/jina-embeddings-v5-text-nano", "jina-v5-nano", 768),
    *(
        (f"jinaai/jina-embeddings-v5-text-{size}-{adapter}", f"jina-v5-{size}-{adapter}", dim)
        for size, dim in (("small", 1024), ("nano", 768))
        for adapter, _, _ in MERGED
    ),
    ("jinaai/jina-embeddings-v3", "jina-v3", 1024),
    ("jinaai/jina-embeddings-v3-hf", "jina-v3-hf", 1024),
    ("embed-v4.0", "cohere-v4", 1536),
    ("voyage-4-large", "voyage", 1024),
    ("voyage-4", "voyage", 1024),
    ("voyage-4-lite", "voyage", 1024),
    ("voyage-3-large", "voyage", 1024),
    ("voyage-3.5", "voyage", 1024),
    ("voyage-3.5-lite", "voyage", 1024),
    ("voyage-code-3", "voyage-code", 1024),
    ("text-embedding-3-small", "openai", 1536),
    ("text-embedding-3-large", "openai", 3072),
    ("gemini-embedding-001", "gemini", 3072),
    ("jina-embeddings-v5-text-small", "jina-api-v5", 1024),
    ("jina-embeddings-v5-text-nano", "jina-api-v5", 768),
    ("zembed-1", "zeroentropy", 2560),
]

# family, licence, tokens, truncation, the sizes that it allows
FACTS: list[tuple[str, str, int, str, tuple[int, ...]]] = [
    ("minilm", "Apache-2.0", 256, "none", ()),
    ("e5", "MIT", 512, "none", ()),
    ("e5-v1", "MIT", 512, "none", ()),
    ("multilingual-e5", "MIT", 512, "none", ()),
    ("multilingual-e5-instruct", "MIT", 512, "none", ()),
    ("gte-qwen2-instruct", "Apache-2.0", 32768, "none", ()),
    ("qwen3-embedding", "Apache-2.0", 32768, "slice", ()),
    ("bge-en-v1.5", "MIT", 512, "none", ()),
    ("bge-zh-v1.5", "MIT", 512, "none", ()),
    ("arctic-v1", "Apache-2.0", 512, "none", ()),
    ("arctic-v1-long", "Apache-2.0", 2048, "none", ()),
    ("arctic-v1.5", "Apache-2.0", 512, "slice", (256,)),
    ("arctic-v2-m", "Apache-2.0", 8192, "slice", (256,)),
    ("arctic-v2-l", "Apache-2.0", 8192, "slice", (256,)),
    ("mxbai", "Apache-2.0", 512, "slice", (512,)),
    ("bge-m3", "MIT", 8192, "none", ()),
    ("gte", "MIT", 512, "none", ()),
    ("gte-v1.5", "Apache-2.0", 8192, "none", ()),
    ("gte-modernbert", "Apache-2.0", 8192, "none", ()),
    ("granite-r2", "Apache-2.0", 8192, "none", ()),
    ("granite-r2-multilingual-97m", "Apache-2.0", 8192, "none", ()),
    ("granite-r2-multilingual-311m", "Apache-2.0", 8192, "slice", (128, 256, 384, 512)),
    ("instructor", "Apache-2.0", 512, "none", ()),
    ("embeddinggemma", "Gemma", 2048, "slice", (128, 256, 512)),
    ("nomic-v1.5", "Apache-2.0", 8192, "layer-norm", (64, 128, 256, 512)),
    ("nomic-v2-moe", "Apache-2.0", 512, "slice", (256,)),
    ("zembed-1", "Apache-2.0", 32768, "projection", (40, 80, 160, 320, 640, 1280)),
    ("jina-v5-small", "CC-BY-NC-4.0", 32768, "slice", (32, 64, 128, 256, 512, 768)),
    ("jina-v5-nano", "CC-BY-NC-4.0", 8192, "slice", (32, 64, 128, 256, 512)),
    *(
        (f"jina-v5-small-{name}", "CC-BY-NC-4.0", 32768, "slice", (32, 64, 128, 256, 512, 768))
        for name, _, _ in MERGED
    ),
    *(
        (f"jina-v5-nano-{name}", "CC-BY-NC-4.0", 8192, "slice", (32, 64, 128, 256, 512))
        for name, _, _ in MERGED
    ),
    ("jina-v3", "CC-BY-NC-4.0", 8192, "slice", (32, 64, 128, 256, 512, 768)),
    ("jina-v3-hf", "CC-BY-NC-4.0", 8192, "slice", (32, 64, 128, 256, 512, 768)),
    ("cohere-v4", "proprietary", 128000, "none", (256, 512, 1024)),
    ("voyage", "proprietary", 32000, "none", (256, 512, 2048)),
    ("voyage-code", "proprietary", 32000, "none", (256, 512, 2048)),
    ("openai", "proprietary", 8192, "none", ()),
    ("gemini", "proprietary", 2048, "none", (768, 1536)),
    ("jina-api-v5", "proprietary", 32768, "none", (32, 64, 128, 256, 512)),
    ("zeroentropy", "proprietary", 32768, "none", (40, 80, 160, 320, 640, 1280)),
]

OWN_PROMPTS = "give --query-prompt TEXT --document-prompt TEXT ('' means none)"


def family_of(name: str) -> Family:
    return {family.name: family for family in families()}[name]


def resolve(
    model: str, task: Task, *, saved_prompts: Mapping[str, str] | None = None, **stated: str
) -> ModelSpec:
    return resolve_stated(model, task, Stated(**stated), saved_prompts=saved_prompts)  # type: ignore[arg-type]  # texts


def prompts_of(spec: ModelSpec) -> tuple[str, str]:
    return spec.query_prompt, spec.document_prompt


def sources_of(spec: ModelSpec) -> tuple[str, str]:
    return spec.query_prompt_source, spec.document_prompt_source


# What models.toml says.


@pytest.mark.parametrize(("family", "task", "query", "document"), PROMPTS)
def test_every_prompt_is_what_its_source_says(
    family: str, task: str, query: str, document: str
) -> None:
    assert astuple(family_of(family).tasks[Task(task)]) == (query, document, "", "", "", "")


@pytest.mark.parametrize(
    ("family", "task", "query", "document", "query_adapter", "document_adapter"), ADAPTERS
)
def test_every_adapter_is_what_its_source_says(
    family: str, task: str, query: str, document: str, query_adapter: str, document_adapter: str
) -> None:
    expected = (query, document, query_adapter, document_adapter, "", "")

    assert astuple(family_of(family).tasks[Task(task)]) == expected


@pytest.mark.parametrize(("family", "task", "parameter", "query", "document"), VALUES)
def test_every_value_of_a_hosted_model_is_what_its_source_says(
    family: str, task: str, parameter: str, query: str, document: str
) -> None:
    assert family_of(family).hosted
    assert family_of(family).hosted_parameter == parameter
    assert astuple(family_of(family).tasks[Task(task)]) == ("", "", "", "", query, document)


def test_no_family_and_no_task_goes_untested() -> None:
    tested = {(case[0], case[1]) for case in [*PROMPTS, *ADAPTERS, *VALUES]}

    assert tested == {(family.name, task.value) for family in families() for task in family.tasks}


@pytest.mark.parametrize(("model", "family", "dim"), MODELS)
def test_every_model_is_in_its_family(model: str, family: str, dim: int) -> None:
    found = find_family(model)

    assert found is not None
    assert (found.name, found.models[model]) == (family, dim)


def test_no_model_goes_untested() -> None:
    assert {case[0] for case in MODELS} == {name for item in families() for name in item.models}


@pytest.mark.parametrize(("name", "licence", "max_length", "truncation", "dims"), FACTS)
def test_every_family_has_its_facts(
    name: str, licence: str, max_length: int, truncation: str, dims: tuple[int, ...]
) -> None:
    family = family_of(name)

    assert (family.licence, family.max_length) == (licence, max_length)
    assert (family.truncation, family.truncated_dims) == (truncation, dims)


def test_no_facts_go_untested() -> None:
    assert [case[0] for case in FACTS] == [family.name for family in families()]


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_every_family_has_a_source_a_licence_and_a_task(family: Family) -> None:
    assert family.source.startswith("https://")
    assert family.licence
    assert family.tasks


def test_only_the_jina_weights_are_not_for_commercial_use() -> None:
    closed = [family.name for family in families() if not family.commercial]

    assert closed == [
        *("jina-v5-small", "jina-v5-nano"),
        *(f"jina-v5-{size}-{name}" for size in ("small", "nano") for name, _, _ in MERGED),
        *("jina-v3", "jina-v3-hf"),
    ]


def test_only_zembed_has_a_suffix() -> None:
    suffixes = {family.name: family.suffix for family in families() if family.suffix}

    assert suffixes == {"zembed-1": "<|im_end|>\n"}


def test_only_instructor_leaves_its_prompt_out_of_the_mean() -> None:
    assert [item.name for item in families() if not item.prompt_in_pooling] == ["instructor"]


def test_models_that_need_code_of_their_own_say_so() -> None:
    assert [family.name for family in families() if family.remote_code] == [
        "gte-qwen2-instruct",
        "arctic-v1-long",
        "arctic-v2-m",
        "gte-v1.5",
        "nomic-v2-moe",
        "jina-v3",
    ]


def test_hosted_models_say_so() -> None:
    assert [family.name for family in families() if family.hosted] == [
        "cohere-v4",
        "voyage",
        "voyage-code",
        "openai",
        "gemini",
        "jina-api-v5",
        "zeroentropy",
    ]


def test_the_template_of_qwen3_has_no_space_at_its_end_and_the_others_have_one() -> None:
    assert family_of("qwen3-embedding").template == "Instruct: {instruction}\nQuery:"
    assert family_of("multilingual-e5-instruct").template == "Instruct: {instruction}\nQuery: "
    assert family_of("gte-qwen2-instruct").template == "Instruct: {instruction}\nQuery: "


def test_the_chinese_prompt_ends_with_a_full_width_colon_and_no_space() -> None:
    prompt = family_of("bge-zh-v1.5").tasks[Task.RETRIEVAL].query_prompt

    assert prompt.endswith("\N{FULLWIDTH COLON}")


# Finding a model.


@pytest.mark.parametrize(
    ("asked", "family"),
    [
        ("INTFLOAT/E5-Small-V2", "e5"),
        ("MiniLM", "minilm"),
        ("qwen/qwen3-embedding-0.6b", "qwen3-embedding"),
        ("zeroentropy/zembed-1", "zembed-1"),
        ("ZeroEntropy/Zembed-1", "zembed-1"),
    ],
)
def test_a_model_is_found_in_any_case_and_by_its_old_name(asked: str, family: str) -> None:
    found = find_family(asked)

    assert found is not None
    assert found.name == family


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "e5",
        "e5-small-v2",
        "intfloat/e5",
        "intfloat/e5-small-v2-finetuned",
        "somebody/e5-small-v2",
        "./intfloat/e5-small-v2",
        "intfloat/e5-small-v2/",
        "sentence-transformers/all-MiniLM-L12-v2",
    ],
)
def test_a_part_of_a_name_finds_nothing(asked: str) -> None:
    assert find_family(asked) is None


def test_families_are_read_once() -> None:
    assert families() is families()


# What resolve gives for a known model.


def test_a_known_model_has_everything() -> None:
    assert resolve("intfloat/e5-small-v2", Task.RETRIEVAL) == ModelSpec(
        model="intfloat/e5-small-v2",
        family="e5",
        task=Task.RETRIEVAL,
        query_prompt="query: ",
        document_prompt="passage: ",
        query_prompt_source='models.toml, family "e5"',
        document_prompt_source='models.toml, family "e5"',
        query_adapter="",
        document_adapter="",
        suffix="",
        truncation="none",
        truncated_dims=(),
        prompt_in_pooling=True,
        end_token="",
        licence="MIT",
        commercial=True,
        remote_code=False,
        hosted=False,
    )


def test_a_model_with_adapters_has_everything() -> None:
    assert resolve("jinaai/jina-embeddings-v3", Task.RETRIEVAL) == ModelSpec(
        model="jinaai/jina-embeddings-v3",
        family="jina-v3",
        task=Task.RETRIEVAL,
        query_prompt="Represent the query for retrieving evidence documents: ",
        document_prompt="Represent the document for retrieval: ",
        query_prompt_source='models.toml, family "jina-v3"',
        document_prompt_source='models.toml, family "jina-v3"',
        query_adapter="retrieval.query",
        document_adapter="retrieval.passage",
        suffix="",
        truncation="slice",
        truncated_dims=(32, 64, 128, 256, 512, 768),
        prompt_in_pooling=True,
        end_token="",
        licence="CC-BY-NC-4.0",
        commercial=False,
        remote_code=True,
        hosted=False,
    )


def test_suffix_pooling_and_hosting_are_passed_on() -> None:
    assert resolve("zeroentropy/zembed-1", Task.RETRIEVAL).suffix == "<|im_end|>\n"
    assert not resolve("hkunlp/instructor-xl", Task.SIMILARITY).prompt_in_pooling
    assert resolve("text-embedding-3-small", Task.SIMILARITY).hosted


def test_the_model_is_called_what_models_toml_calls_it() -> None:
    assert resolve("MINILM", Task.CODE).model == "minilm"
    assert resolve("zeroentropy/zembed-1", Task.RETRIEVAL).model == "zeroentropy/zembed-1-embedding"


def test_a_known_model_s_own_prompts_do_not_matter() -> None:
    saved = {"query": "wrong: ", "document": "wrong: ", "CodeRetrieval": "wrong: "}

    spec = resolve("intfloat/e5-small-v2", Task.RETRIEVAL, saved_prompts=saved)

    assert prompts_of(spec) == ("query: ", "passage: ")
    with pytest.raises(ModelUnavailableError, match="has no prompt for the task 'code'"):
        resolve("intfloat/e5-small-v2", Task.CODE, saved_prompts=saved)


# Stated prompts.


def test_a_stated_prompt_comes_before_the_known_one() -> None:
    spec = resolve("intfloat/e5-small-v2", Task.RETRIEVAL, query_prompt="q ", document_prompt="d ")

    assert prompts_of(spec) == ("q ", "d ")
    assert sources_of(spec) == ("--query-prompt", "--document-prompt")
    assert spec.licence == "MIT"


def test_an_empty_stated_prompt_means_none() -> None:
    spec = resolve("intfloat/e5-small-v2", Task.RETRIEVAL, query_prompt="", document_prompt="")

    assert prompts_of(spec) == ("", "")
    assert sources_of(spec) == ("--query-prompt", "--document-prompt")


def test_one_side_may_be_stated_when_the_other_is_known() -> None:
    spec = resolve("intfloat/e5-small-v2", Task.RETRIEVAL, query_prompt="q ")

    assert prompts_of(spec) == ("q ", "passage: ")
    assert sources_of(spec) == ("--query-prompt", 'models.toml, family "e5"')


def test_one_side_may_be_stated_when_the_model_brings_the_other() -> None:
    spec = resolve("me/mine", Task.RETRIEVAL, document_prompt="", saved_prompts={"query": "find: "})

    assert prompts_of(spec) == ("find: ", "")
    assert sources_of(spec) == ("the model's own prompt 'query'", "--document-prompt")


@pytest.mark.parametrize("task", [Task.SIMILARITY, Task.CLASSIFICATION, Task.CLUSTERING])
@pytest.mark.parametrize("model", ["intfloat/e5-small-v2", "me/mine"])
def test_one_stated_prompt_holds_for_both_sides_of_a_symmetric_task(model: str, task: Task) -> None:
    by_query = resolve(model, task, query_prompt="same: ")
    by_document = resolve(model, task, document_prompt="same: ")

    assert prompts_of(by_query) == ("same: ", "same: ")
    assert sources_of(by_query) == ("--query-prompt", "--query-prompt")
    assert prompts_of(by_document) == ("same: ", "same: ")
    assert sources_of(by_document) == ("--document-prompt", "--document-prompt")


def test_both_sides_of_a_symmetric_task_may_be_stated_alike() -> None:
    spec = resolve("me/mine", Task.CLUSTERING, query_prompt="", document_prompt="")

    assert prompts_of(spec) == ("", "")
    assert sources_of(spec) == ("--query-prompt", "--document-prompt")


def test_the_sides_of_a_symmetric_task_cannot_be_stated_differently() -> None:
    with pytest.raises(UsageError) as refusal:
        resolve("minilm", Task.SIMILARITY, query_prompt="a: ", document_prompt="b: ")

    assert refusal.value.message == (
        "the two sides of the task 'similarity' are alike, but --query-prompt is 'a: ' "
        "and --document-prompt is 'b: '"
    )
    assert refusal.value.hint == "give one of them: it holds for both sides"


def test_stated_prompts_make_any_task_possible() -> None:
    spec = resolve("intfloat/e5-small-v2", Task.CODE, query_prompt="query: ", document_prompt="")

    assert prompts_of(spec) == ("query: ", "")
    assert (spec.family, spec.task) == ("e5", Task.CODE)


def test_stated_prompts_make_any_model_possible() -> None:
    assert resolve("me/mine", Task.CODE, query_prompt="q: ", document_prompt="d: ") == ModelSpec(
        model="me/mine",
        family="",
        task=Task.CODE,
        query_prompt="q: ",
        document_prompt="d: ",
        query_prompt_source="--query-prompt",
        document_prompt_source="--document-prompt",
        query_adapter="",
        document_adapter="",
        suffix="",
        truncation="none",
        truncated_dims=(),
        prompt_in_pooling=True,
        end_token="",
        licence="",
        commercial=True,
        remote_code=False,
        hosted=False,
    )


def test_stated_prompts_keep_the_adapters() -> None:
    spec = resolve(
        "jinaai/jina-embeddings-v5-text-nano", Task.SIMILARITY, query_prompt="Document: "
    )

    assert (spec.query_adapter, spec.document_adapter) == ("text-matching", "text-matching")


# What an unknown model brings.


@pytest.mark.parametrize(
    ("task", "saved", "query", "document"),
    [
        (
            Task.RETRIEVAL,
            {
                "Retrieval-query": "1",
                "Retrieval-document": "2",
                "Retrieval": "3",
                "query": "4",
                "document": "5",
                "passage": "6",
            },
            "Retrieval-query",
            "Retrieval-document",
        ),
        (Task.RETRIEVAL, {"query": "1", "Retrieval": "2"}, "Retrieval", "Retrieval"),
        (
            Task.RETRIEVAL,
            {"Retrieval-query": "1", "Retrieval": "2"},
            "Retrieval-query",
            "Retrieval",
        ),
        (
            Task.RETRIEVAL,
            {"query": "1", "corpus": "4", "passage": "3", "document": "2"},
            "query",
            "document",
        ),
        (Task.RETRIEVAL, {"query": "1", "corpus": "3", "passage": "2"}, "query", "passage"),
        (Task.RETRIEVAL, {"query": "1", "corpus": "2"}, "query", "corpus"),
        (Task.SIMILARITY, {"STS": "1", "query": "2", "document": "3"}, "STS", "STS"),
        (Task.CLASSIFICATION, {"Classification": "1"}, "Classification", "Classification"),
        (Task.CLUSTERING, {"Clustering": "1", "query": "2"}, "Clustering", "Clustering"),
        (
            Task.CODE,
            {
                "CodeRetrieval-query": "1",
                "CodeRetrieval-document": "2",
                "CodeRetrieval": "3",
                "Retrieval-document": "4",
            },
            "CodeRetrieval-query",
            "CodeRetrieval-document",
        ),
        (
            Task.CODE,
            {"CodeRetrieval": "1", "InstructionRetrieval": "2", "Retrieval-document": "3"},
            "CodeRetrieval",
            "Retrieval-document",
        ),
        (
            Task.CODE,
            {"InstructionRetrieval": "1", "document": "2"},
            "InstructionRetrieval",
            "document",
        ),
        (
            Task.CODE,
            {"InstructionRetrieval-query": "1", "InstructionRetrieval-document": "2"},
            "InstructionRetrieval-query",
            "InstructionRetrieval-document",
        ),
        (Task.CODE, {"CodeRetrieval": "1", "passage": "2"}, "CodeRetrieval", "passage"),
    ],
)
def test_an_unknown_model_s_own_prompts_are_taken_in_mteb_s_order(
    task: Task, saved: Mapping[str, str], query: str, document: str
) -> None:
    spec = resolve("me/mine", task, saved_prompts=saved)

    assert prompts_of(spec) == (saved[query], saved[document])
    assert sources_of(spec) == (
        f"the model's own prompt '{query}'",
        f"the model's own prompt '{document}'",
    )


def test_a_passage_prompt_is_not_hidden_by_the_empty_one_that_a_library_saved_beside_it() -> None:
    saved = {"query": "search_query: ", "document": "", "passage": "search_document: "}

    spec = resolve("me/mine", Task.RETRIEVAL, saved_prompts=saved)

    assert prompts_of(spec) == ("search_query: ", "search_document: ")


def test_an_empty_document_prompt_counts_beside_a_query_prompt() -> None:
    saved = {"query": "find: ", "document": ""}

    assert prompts_of(resolve("me/mine", Task.RETRIEVAL, saved_prompts=saved)) == ("find: ", "")


def test_an_empty_prompt_under_a_task_s_name_counts() -> None:
    saved = {"STS": "", "Retrieval": "", "query": "find: "}

    assert prompts_of(resolve("me/mine", Task.SIMILARITY, saved_prompts=saved)) == ("", "")
    assert prompts_of(resolve("me/mine", Task.RETRIEVAL, saved_prompts=saved)) == ("", "")


@pytest.mark.parametrize(
    ("task", "saved"),
    [
        (Task.RETRIEVAL, None),
        (Task.RETRIEVAL, {}),
        (Task.RETRIEVAL, {"query": "", "document": ""}),  # what a library saves with any model
        (Task.RETRIEVAL, {"default_prompt_name": "default", "default": "text: "}),
        (Task.RETRIEVAL, {"STS": "similar: "}),
        (Task.SIMILARITY, {"query": "q: ", "document": "d: "}),
        (Task.SIMILARITY, {"Similarity": "similar: ", "sts": "similar: "}),
        (Task.CLASSIFICATION, {"STS": "similar: ", "query": "q: "}),
        (Task.CLUSTERING, {"Classification": "label: "}),
        (Task.CODE, {"Retrieval": "q: ", "query": "q: "}),
    ],
)
def test_an_unknown_model_without_prompts_for_the_task_is_refused(
    task: Task, saved: Mapping[str, str] | None
) -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("me/mine", task, saved_prompts=saved)

    assert refusal.value.message == (
        f"me/mine is not a known model and brings no prompts for the task '{task.value}'"
    )
    assert refusal.value.hint == (
        f"{OWN_PROMPTS}, or --family NAME when it is of a known family; "
        "`taskembed models` lists the known models"
    )


@pytest.mark.parametrize(
    ("task", "saved", "side"),
    [
        (Task.RETRIEVAL, {"query": "q: "}, "document"),
        (Task.RETRIEVAL, {"Retrieval-query": "q: "}, "document"),
        (Task.RETRIEVAL, {"document": "d: "}, "query"),
        (Task.RETRIEVAL, {"passage": "d: "}, "query"),
        (Task.CODE, {"CodeRetrieval": "q: "}, "document"),
        (Task.CODE, {"query": "q: ", "document": "d: "}, "query"),
    ],
)
def test_half_a_pair_is_refused(task: Task, saved: Mapping[str, str], side: str) -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("me/mine", task, saved_prompts=saved)

    assert refusal.value.message == (
        f"me/mine is not a known model and brings no {side} prompt for the task '{task.value}'"
    )
    assert refusal.value.hint == f"give --{side}-prompt TEXT ('' means none)"


def test_one_stated_side_is_not_enough_for_an_unknown_model() -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("me/mine", Task.RETRIEVAL, query_prompt="q: ")

    assert refusal.value.message == (
        "me/mine is not a known model and brings no document prompt for the task 'retrieval'"
    )
    assert refusal.value.hint == "give --document-prompt TEXT ('' means none)"


# What a known model is refused for.


def test_a_task_that_the_model_does_not_know_is_refused_with_the_models_that_do() -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("intfloat/e5-small-v2", Task.CODE)

    assert refusal.value.message == "intfloat/e5-small-v2 has no prompt for the task 'code'"
    assert refusal.value.hint == (
        "models that do: google/embeddinggemma-300m, "
        "ibm-granite/granite-embedding-311m-multilingual-r2, "
        "ibm-granite/granite-embedding-97m-multilingual-r2, "
        "ibm-granite/granite-embedding-english-r2, "
        "ibm-granite/granite-embedding-small-english-r2, minilm, "
        f"and 4 more: see `taskembed models`; or {OWN_PROMPTS}"
    )


def test_the_hint_counts_only_models_that_run_here_without_code_of_their_own() -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("zeroentropy/zembed-1", Task.SIMILARITY)

    assert refusal.value.message == (
        "zeroentropy/zembed-1-embedding has no prompt for the task 'similarity'"
    )
    assert refusal.value.hint == (
        "models that do: Alibaba-NLP/gte-modernbert-base, BAAI/bge-base-en-v1.5, "
        "BAAI/bge-base-zh-v1.5, BAAI/bge-large-en-v1.5, BAAI/bge-large-zh-v1.5, BAAI/bge-m3, "
        f"and 41 more: see `taskembed models`; or {OWN_PROMPTS}"
    )


def test_one_stated_side_is_not_enough_for_a_task_that_the_model_does_not_know() -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("intfloat/e5-small-v2", Task.CODE, document_prompt="")

    assert refusal.value.message == "intfloat/e5-small-v2 has no query prompt for the task 'code'"
    assert refusal.value.hint == "give --query-prompt TEXT ('' means none)"


def test_no_prompt_stands_in_for_an_adapter() -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve(
            "jinaai/jina-embeddings-v3-hf", Task.CODE, query_prompt="q: ", document_prompt="d: "
        )

    assert refusal.value.message == (
        "jinaai/jina-embeddings-v3-hf has no adapter for the task 'code'"
    )
    assert refusal.value.hint == (
        "models that do: google/embeddinggemma-300m, "
        "ibm-granite/granite-embedding-311m-multilingual-r2, "
        "ibm-granite/granite-embedding-97m-multilingual-r2, "
        "ibm-granite/granite-embedding-english-r2, "
        "ibm-granite/granite-embedding-small-english-r2, minilm, "
        "and 4 more: see `taskembed models`"
    )


def test_a_short_list_of_models_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskembed.models.MODELS_IN_HINT", 10)

    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("intfloat/e5-small-v2", Task.CODE)

    assert refusal.value.hint is not None
    assert refusal.value.hint.endswith(
        "Qwen/Qwen3-Embedding-4B, Qwen/Qwen3-Embedding-8B, "
        f"sentence-transformers/all-MiniLM-L6-v2; or {OWN_PROMPTS}"
    )


# Mistakes in models.toml.

GOOD = """
[[family]]
name = "f"
source = "https://example.org/f"
licence = "MIT"
max_length = 512
models = { "a/f" = 8 }
[family.tasks]
retrieval = { query = "q: ", document = "" }
"""
SECOND = GOOD.replace('"f"', '"g"').replace('"a/f"', '"a/g"')


def test_a_small_family_has_the_defaults() -> None:
    (family,) = parse_families(GOOD)

    assert (family.name, family.source, family.licence) == ("f", "https://example.org/f", "MIT")
    assert (family.max_length, family.models) == (512, {"a/f": 8})
    assert list(family.tasks) == [Task.RETRIEVAL]
    assert astuple(family.tasks[Task.RETRIEVAL]) == ("q: ", "", "", "", "", "")
    assert (family.commercial, family.suffix, family.truncation) == (True, "", "none")
    assert (family.truncated_dims, family.prompt_in_pooling) == ((), True)
    assert (family.remote_code, family.hosted, family.hosted_parameter) == (False, False, "")
    assert (family.template, family.aliases, family.note) == ("", {}, "")


def with_key(line: str) -> str:
    """Return the good family with one more key."""
    return GOOD.replace("[family.tasks]", f"{line}\n[family.tasks]")


def with_task(line: str, *keys: str) -> str:
    """Return the good family with another task, and more keys."""
    return with_key("\n".join(keys)).replace('retrieval = { query = "q: ", document = "" }', line)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("", 'models.toml: no key "family"'),
        ("family = 3", 'models.toml: "family" is not a list: 3'),
        ("family = [3]", "family number 1: not a table"),
        ("version = 2" + GOOD, 'models.toml: unknown key "version"'),
        ("[[family]]", 'family number 1: no key "name"'),
        (GOOD + "[[family]]\nlicence = 'MIT'", 'family number 2: no key "name"'),
        (GOOD + "[[family]]\nname = 'g'", 'family "g": no key "source"'),
        (GOOD.replace('licence = "MIT"', ""), 'family "f": no key "licence"'),
        (GOOD.replace('"f"', "7"), 'family "7": "name" is not a string: 7'),
        (with_key('pooling = "cls"'), 'family "f": unknown key "pooling"'),
        (
            GOOD.replace("= 512", '= "512"'),
            'family "f": "max_length" is not a whole number: \'512\'',
        ),
        (GOOD.replace("= 512", "= true"), 'family "f": "max_length" is not a whole number: True'),
        (GOOD.replace("= 512", "= 0"), 'family "f": "max_length" makes no sense: 0'),
        (GOOD.replace("= 8", "= 8.0"), 'family "f", models: "a/f" is not a whole number: 8.0'),
        (GOOD.replace("= 8", "= 0"), 'family "f": "models" makes no sense: {\'a/f\': 0}'),
        (GOOD.replace('"a/f" = 8', ""), 'family "f": "models" makes no sense: {}'),
        (
            GOOD.replace("https", "http"),
            'family "f": "source" makes no sense: \'http://example.org/f\'',
        ),
        (GOOD.replace('"MIT"', '""'), 'family "f": "licence" makes no sense: \'\''),
        (with_key("hosted = 1"), 'family "f": "hosted" is not true or false: 1'),
        (with_key("suffix = 1"), 'family "f": "suffix" is not a string: 1'),
        (with_key("aliases = []"), 'family "f": "aliases" is not a table: []'),
        (with_key('aliases = { "b/f" = 1 }'), 'family "f", aliases: "b/f" is not a string: 1'),
        (
            with_key('aliases = { "b/f" = "a/g" }'),
            "family \"f\": \"aliases\" makes no sense: {'b/f': 'a/g'}",
        ),
        (with_key("truncated_dims = 4"), 'family "f": "truncated_dims" is not a list: 4'),
        (
            with_key('truncation = "slice"\ntruncated_dims = ["4"]'),
            'family "f": "truncated_dims" makes no sense: [\'4\']',
        ),
        (with_key("truncated_dims = [4]"), 'family "f": "truncated_dims" makes no sense: [4]'),
        (with_key('truncation = "cut"'), 'family "f": "truncation" makes no sense: \'cut\''),
        (
            with_key('template = "Instruct: "'),
            'family "f": "template" makes no sense: \'Instruct: \'',
        ),
        (with_task(""), 'family "f": "tasks" makes no sense: {}'),
        (with_task('sts = { both = "" }'), 'family "f", tasks: unknown key "sts"'),
        (with_task('code = ""'), 'family "f", tasks: "code" is not a table: \'\''),
        (
            with_task('code = { query = "", documents = "" }'),
            'family "f", task "code": unknown key "documents"',
        ),
        (
            with_task('code = { query = "", document = 1 }'),
            'family "f", task "code": "document" is not a string: 1',
        ),
        (
            with_task('code = { query = "" }'),
            'family "f", task "code": no key says what document_prompt is',
        ),
        (
            with_task("similarity = {}"),
            'family "f", task "similarity": no key says what query_prompt is',
        ),
        (
            with_task('similarity = { query = "", document = "" }'),
            'family "f", task "similarity": unknown key "query"',
        ),
        (
            with_task('code = { both = "", query = "" }'),
            'family "f", task "code": "query" says again what query_prompt is',
        ),
        (
            with_task('similarity = { both_instruction = "x" }'),
            'family "f", task "similarity": "both_instruction" needs a "template" of the family',
        ),
        (
            with_task('similarity = { both_value = "x" }'),
            'family "f", task "similarity": unknown key "both_value"',
        ),
        (
            with_task('similarity = { both = "x" }', "hosted = true"),
            'family "f", task "similarity": unknown key "both"',
        ),
        (
            with_task('code = { query_value = "x" }', "hosted = true"),
            'family "f", task "code": no key says what document_value is',
        ),
        (GOOD + GOOD, 'models.toml: "f" is the name of a family twice'),
        (
            GOOD + SECOND.replace("a/g", "A/F"),
            'models.toml: "a/f" is the id of a model twice',
        ),
        (
            GOOD + SECOND.replace("[family.tasks]", 'aliases = { "a/f" = "a/g" }\n[family.tasks]'),
            'models.toml: "a/f" is the id of a model twice',
        ),
    ],
)
def test_a_mistake_is_refused_with_its_family_and_its_key(toml: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as refusal:
        parse_families(toml)

    assert str(refusal.value) == message


def test_what_is_no_toml_is_refused() -> None:
    with pytest.raises(ValueError, match="at line 1, column 10"):
        parse_families("family = ?")


def test_an_instruction_is_put_into_the_template_as_it_is() -> None:
    toml = with_task(
        'code = { query_instruction = "Find {code}, 100%.", document = "" }',
        'template = "Do: {instruction}\\nOn:"',
    )

    (family,) = parse_families(toml)

    assert family.tasks[Task.CODE].query_prompt == "Do: Find {code}, 100%.\nOn:"


def test_an_adapter_of_one_side_is_of_that_side_only() -> None:
    (family,) = parse_families(with_task('code = { both = "", query_adapter = "lora" }'))

    assert astuple(family.tasks[Task.CODE]) == ("", "", "lora", "", "", "")
