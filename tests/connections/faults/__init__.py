"""An authorization server that misbehaves on demand, and real processes that refresh against it."""
