"""Files that name others, and who of these was asked for."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:4,\n{url}\n#EXT-X-ENDLIST\n",
    "m3u8_fifo": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:4,\n{fifo}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {fifo}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 18766 RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{url}</BaseURL></MPD>',
    "asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "pls": "[playlist]\nFile1={url}\nNumberOfEntries=1\n",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>',
}


@contextmanager
def watched(folder: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A server's address and a named pipe, and the list of what was asked of either.

    Args:
        folder: Where the pipe is to be.
    """
    asked: list[str] = []

    class Counting(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Counting)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    fifo = folder / "pipe.ts"
    os.mkfifo(fifo)

    def wait_for_reader():
        with fifo.open("wb"):  # returns when someone opens the other end
            asked.append("pipe")

    writer = threading.Thread(target=wait_for_reader)
    writer.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/x.ts", fifo, asked
    finally:
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        writer.join(10)
        os.close(reader)
        server.shutdown()
        server.server_close()
        thread.join(10)
