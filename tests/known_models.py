"""What is known of every model, written here a second time by hand, from its authors' files.

Nothing here is derived from models.toml: such a case would agree with its mistakes.
"""

from __future__ import annotations

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
    ("all-minilm", "retrieval", "", ""),
    ("all-minilm", "similarity", "", ""),
    ("all-minilm", "classification", "", ""),
    ("all-minilm", "clustering", "", ""),
    ("all-minilm", "code", "", ""),
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
    *(
        ("minilm", task, "", "", task, task)
        for task in ("retrieval", "similarity", "classification", "clustering", "code")
    ),
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
    ("sentence-transformers/all-MiniLM-L6-v2", "all-minilm", 384),
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
    ("all-minilm", "Apache-2.0", 256, "none", ()),
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
    ("openai", "proprietary", 8192, "none", (256, 512, 1024, 1536)),
    ("gemini", "proprietary", 2048, "none", (768, 1536)),
    ("jina-api-v5", "proprietary", 32768, "none", (32, 64, 128, 256, 512)),
    ("zeroentropy", "proprietary", 32768, "none", (40, 80, 160, 320, 640, 1280)),
]
