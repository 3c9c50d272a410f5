"""httpx through a proxy: argument 1 is its URL, argument 2 the version of HTTP."""

import hashlib
import sys

import httpx

base, version = sys.argv[1], sys.argv[2]
# Over HTTP/2 it waits for its own small writes (Nagle) with each window, 40 ms for 64 KiB.
LARGE = 100 << 20 if version == "1" else 10 << 20

with httpx.Client(http1=version == "1", http2=version == "2", timeout=60, trust_env=False) as client:
    get = client.get(base + "/bytes?n=1000")
    assert get.http_version == ("HTTP/2" if version == "2" else "HTTP/1.1"), get.http_version
    assert (get.status_code, len(get.content)) == (200, 1000)
    head = client.head(base + "/bytes?n=1000")
    assert head.headers["content-length"] == "1000" and not head.content
    part = client.get(base + "/bytes?n=1000", headers={"range": "bytes=10-19"})
    assert (part.status_code, len(part.content)) == (206, 10)
    same = client.get(base + "/etag", headers={"if-none-match": '"v1"'})
    assert (same.status_code, same.headers["etag"], same.content) == (304, '"v1"', b"")
    assert client.get(base + "/gzip").text == "packed " * 1000
    assert client.get(base + "/stream").text == "piece " * 100
    assert client.delete(base + "/none").status_code == 204
    print("small")
    with client.stream("GET", f"{base}/bytes?n={LARGE}") as down:
        assert sum(len(piece) for piece in down.iter_bytes()) == LARGE
    body = b"y" * LARGE
    up = client.post(base + "/upload", content=body).json()
    assert up["length"] == LARGE and up["sha256"] == hashlib.sha256(body).hexdigest(), up
    print("large")
    chunked = client.post(base + "/upload", content=iter([b"a", b"bc", b"def"])).json()
    assert chunked["length"] == 6, chunked
    assert client.get(base + "/hints").text == "hinted"
print("done")
