"""The language models: what services accept, and how conversations and answers travel.

- What a model accepts: `capabilities`, known from `profiles`, learned in `learning` and kept by
  `memory`.
- A call: `call` on a `client`, by `completions_api` or `responses_api`, with `retries` and
  `rate_limits`; what a service refuses is read by `refusal` and explained by `refusal_advice`.
- What comes back: `conversation`, `answer` and `text_markup`; what of it can be used is in
  `usable_answer`, and what it costs in `usage` and `prices`.
"""
