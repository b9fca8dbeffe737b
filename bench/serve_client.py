"""A client for servers of images: closed loop for rates, open loop for what a load does.

It speaks HTTP/1.1 over plain sockets, in a process of its own, so that it costs little beside the
server. Nothing here knows which server it asks.
"""

import asyncio
import random
import time

_BOUNDARY = "7d3f"


def form(data):
    """Return the body of a form with one file."""
    head = (
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data; "
        'name="files"; filename="x.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    return head.encode() + data + f"\r\n--{_BOUNDARY}--\r\n".encode()


class Connection:
    """One connection that is used again and again."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def ask(self, body):
        """Return the status and the seconds of one request."""
        start = time.perf_counter()
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = (
            f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n\r\n"
        )
        self.writer.write(head.encode() + body)
        await self.writer.drain()
        header = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(header.split(" ", 2)[1])
        length = next(
            int(line.split(":")[1])
            for line in header.split("\r\n")
            if line.lower().startswith("content-length")
        )
        await self.reader.readexactly(length)
        return status, time.perf_counter() - start

    def close(self):
        if self.writer is not None:
            self.writer.close()


async def closed_loop(port, bodies, n_clients, seconds):
    """Let clients ask one after the other; return (status, seconds) of all, and the time taken."""
    found, until = [], time.perf_counter() + seconds

    async def work(seed):
        rng, connection = random.Random(seed), Connection(port)
        while time.perf_counter() < until:
            found.append(await connection.ask(rng.choice(bodies)))
        connection.close()

    start = time.perf_counter()
    await asyncio.gather(*(work(seed) for seed in range(n_clients)))
    return found, time.perf_counter() - start


def take(free):
    """Return a connection that the server has not closed, as it closes those that are long idle."""
    while free:
        connection = free.pop()
        if not connection.reader.at_eof():
            return connection
    return None


async def open_loop(port, bodies, rate, seconds):
    """Ask at random times, ``rate`` a second, whether or not answers come; return as above."""
    rng, found, free, tasks = random.Random(0), [], [], set()

    async def one(body, due):
        connection = take(free) or Connection(port)
        try:
            status, _ = await connection.ask(body)
            free.append(connection)
        except (OSError, EOFError):
            status = 0
        found.append((status, time.perf_counter() - due))

    start = due = time.perf_counter()
    while due < start + seconds:
        due += rng.expovariate(rate)
        await asyncio.sleep(max(0, due - time.perf_counter()))
        task = asyncio.create_task(one(rng.choice(bodies), due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for connection in free:
        connection.close()
    return found, time.perf_counter() - start
