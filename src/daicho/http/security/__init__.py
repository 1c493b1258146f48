"""Who may come in, and how much of it: ASGI middleware around `daicho.http.create`.

Authentication -> RateLimit -> Admission -> the App's own endpoints (which ask `permit`)
"""

from daicho.http.security.guard import Security, guard

__all__ = ["Security", "guard"]
