"""An agent that knows nothing of keymux: a base URL and a key from its environment, the standard library, no retries."""

import json
import os
import urllib.request

url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
headers = {
    "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"],
    "Content-Type": "application/json",
}


def ask(question, **more):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": question}], **more}
    return urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers))


for number in (1, 2, 3):
    with ask("Hello %d" % number) as answer:
        text = json.load(answer)["choices"][0]["message"]["content"]
        print("agent: request", number, "got", answer.status, text, flush=True)

with ask("Hello again", stream=True) as answer:
    events = [line for line in answer if line.startswith(b"data: ")]
    print("agent: a stream of", len(events), "events, the last one", events[-1].decode().strip(), flush=True)
