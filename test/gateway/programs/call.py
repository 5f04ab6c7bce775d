"""A program that knows nothing of keymux: its API has a base URL and a key, both from the environment.

python3 call.py urllib|requests PATH answer|stream|upload
Prints the status, and the body as it comes; a refusal goes to stderr and ends it with 1.
"""

import json
import os
import sys
import urllib.error
import urllib.request

url = os.environ["API_URL"] + sys.argv[2]
headers = {"Authorization": "Bearer " + os.environ["API_KEY"]}
is_stream = sys.argv[3] == "stream"
question = {"model": "m", "stream": is_stream, "messages": [{"role": "user", "content": "Hello"}]}
PIECE = b"x" * 65536


def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def refused(status, retry_after):
    sys.stderr.write("refused with %s, again in %s s\n" % (status, retry_after))
    sys.exit(1)


def pieces():
    for _ in range(48):
        yield PIECE


def with_urllib():
    if sys.argv[3] == "upload":
        headers["Content-Type"] = "application/octet-stream"
        request = urllib.request.Request(url, data=pieces(), headers=headers)
    else:
        headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data=json.dumps(question).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            say("status %d by %s\n" % (answer.status, answer.headers["x-keymux-key"]))
            for line in answer:
                say(line.decode())
    except urllib.error.HTTPError as error:
        refused(error.code, error.headers["Retry-After"])


def with_requests():
    import requests

    body = {"data": pieces()} if sys.argv[3] == "upload" else {"json": question}
    with requests.post(url, headers=headers, stream=True, **body) as answer:
        if not answer.ok:
            refused(answer.status_code, answer.headers["Retry-After"])
        say("status %d by %s\n" % (answer.status_code, answer.headers["x-keymux-key"]))
        for part in answer.iter_content(chunk_size=None):
            say(part.decode())


{"urllib": with_urllib, "requests": with_requests}[sys.argv[1]]()
