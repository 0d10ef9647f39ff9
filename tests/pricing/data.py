"""A small price list in genai-prices' published form (its repository's prices/new_data/v2)."""

from __future__ import annotations

import json
from typing import Any


def price_list(input_dollars: float = 7.5) -> bytes:
    """OpenAI with two models; `input_dollars` per million tokens for gpt-5."""
    models: list[dict[str, Any]] = [
        {
            "id": "gpt-5",
            "match": {"equals": "gpt-5"},
            "context_window": 123_456,
            "prices": {
                "input_mtok": input_dollars,
                "output_mtok": {"base": 10, "tiers": [{"start": 1000, "price": 20}]},
            },
        },
        {
            "id": "gpt-new",
            "match": {"starts_with": "gpt-new"},
            "prices": [
                {"prices": {"input_mtok": 1}},
                {"constraint": {"start_date": "2026-01-01"}, "prices": {"input_mtok": 2}},
            ],
        },
    ]
    provider = {
        "id": "openai",
        "name": "OpenAI",
        "api_pattern": "https://api\\.openai\\.com",
        "models": models,
    }
    return json.dumps([provider]).encode()
