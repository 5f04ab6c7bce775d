/** Variables in which SDKs read where their API is. Only what was seen in the source of an SDK stands here. */

export interface BaseUrlVariable {
  /** Id in the catalogue. */
  readonly provider: string;
  readonly name: string;
  /** What the SDK takes to be a part of the base URL, and so does not add by itself. */
  readonly path: string;
}

export const BASE_URL_VARIABLES: readonly BaseUrlVariable[] = [
  // openai-node 6: src/client.ts; openai-python 1 and 2: src/openai/_client.py ("https://api.openai.com/v1").
  { provider: 'openai', name: 'OPENAI_BASE_URL', path: '/v1' },
  // openai-python before 1.0: openai/__init__.py; still read by LangChain and LiteLLM.
  { provider: 'openai', name: 'OPENAI_API_BASE', path: '/v1' },
  // @anthropic-ai/sdk 1: src/client.ts ("https://api.anthropic.com").
  { provider: 'anthropic', name: 'ANTHROPIC_BASE_URL', path: '' },
  // @google/genai 2: src/_base_url.ts; the version of the API is added by the SDK.
  { provider: 'gemini', name: 'GOOGLE_GEMINI_BASE_URL', path: '' },
  // openai-node 6: src/azure.ts, which adds "/openai".
  { provider: 'azure_openai', name: 'AZURE_OPENAI_ENDPOINT', path: '' },
  // groq-python: src/groq/_client.py ("https://api.groq.com"); "/openai/v1" is added by the SDK.
  { provider: 'groq', name: 'GROQ_BASE_URL', path: '' },
  // together-py 2: src/together/_client.py ("https://api.together.ai/v1").
  { provider: 'together', name: 'TOGETHER_BASE_URL', path: '/v1' },
  // cohere-python 5: src/cohere/client.py; "/v1" and "/v2" are added by the SDK.
  { provider: 'cohere', name: 'CO_API_URL', path: '' },
];
