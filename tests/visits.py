"""A visit to one of our pages in a real browser, with everything it said and asked for."""

import time


class Visit:
    """An open page with everything it said and asked for."""

    def __init__(self, browser, path, **options):
        self.page = browser.new_page(viewport={"width": 1300, "height": 850}, **options)
        self.errors, self.requests = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._listen)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.began = time.monotonic()
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready=true]", timeout=60_000)

    def _listen(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def hover(self, trace, point):
        """Bring the pointer to a point of a trace."""
        x, y = self.page.evaluate(
            """([t, k]) => {
                const plot = document.getElementById('plot'), box = plot.getBoundingClientRect();
                const {xaxis, yaxis} = plot._fullLayout, data = plot.data[t];
                return [box.x + xaxis._offset + xaxis.l2p(data.x[k]),
                        box.y + yaxis._offset + yaxis.l2p(data.y[k])];
            }""",
            [trace, point],
        )
        self.page.mouse.move(x - 3, y)
        self.page.mouse.move(x, y)
        self.page.wait_for_selector("#tip:not([hidden])")

    def colours(self):
        return self.page.evaluate("document.getElementById('plot').data[1].marker.color")

    def shown(self):
        return self.page.evaluate("document.getElementById('plot').data[1].x.length")

    def foreign_requests(self, path):
        """What was asked for beside the page itself."""
        own = path.as_uri()
        return [u for u in self.requests if u != own and not u.startswith(("data:", "blob:"))]
