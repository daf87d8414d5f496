"""Client software by user agent: libraries for any use, and products with defaults of their own.

The client chooses its user agent. It never convicts and never excuses an account: it only shows which
accounts run one vendor's software, whose defaults give unrelated customers equal settings.
"""

import re

PRODUCT = re.compile(r"^[^/\s(;,@]+(?: [A-Za-z][^/\s(;,@]*)*")
# HTTP libraries, SDKs and browsers, as named in their public sources; lower case, by prefix.
LIBRARIES = (
    "ai-sdk", "aiohttp", "alamofire", "anthropic", "apache-httpclient", "async", "axios", "azsdk",
    "boto3", "botocore", "bun", "cfnetwork", "cohere", "curl", "dart", "deno", "dspy", "faraday",
    "genkit", "go-http-client", "google-genai", "got", "groq", "guzzlehttp", "hackney", "haystack",
    "httparty", "httpie", "httpx", "insomnia", "java", "ktor", "langchain", "libcurl", "libwww-perl",
    "litellm", "llama-index", "llama_index", "mistral-client", "mistralai", "mozilla", "node", "okhttp",
    "openai", "postmanruntime", "powershell", "pydantic-ai", "python", "reqwest", "rest-client", "restsharp",
    "ruby", "rust", "scrapy", "semantic-kernel", "semantickernel", "spring-ai", "symfony", "typhoeus",
    "undici", "unirest", "urllib", "vercel", "wget", "winhttp",
)  # fmt: skip


def product(agent: str) -> str:
    """Return the product that a user agent names, without version; "" for a library, browser or nothing.

    >>> product("cline/3.2.1"), product("Tandem Dev 7"), product("openai-python/2.1.0"), product("")
    ('cline', 'Tandem Dev', '', '')
    """
    match = PRODUCT.match(agent.strip())
    name = match[0].strip() if match else ""
    return "" if name.lower().startswith(LIBRARIES) else name
