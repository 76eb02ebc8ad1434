"""A session of `requests` that takes keys and spans to no other host than the one it was given."""

from urllib.parse import urljoin

import requests

from trading_graph.otel.redirects import is_followed


class SameHostSession(requests.Session):
    """A session that follows redirects to the same host only, and fails at any other."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where to go on; raises requests.ConnectionError for another host."""
        location = super().get_redirect_target(resp)
        if location is not None and not is_followed(resp.url, urljoin(resp.url, location)):
            resp.close()
            # Not just left unfollowed: a status 3xx counts as taken.
            raise requests.ConnectionError("It redirects to another host.")
        return location
