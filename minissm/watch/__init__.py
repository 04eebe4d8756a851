"""The page that steps through a model, token by token, and back from an answer: `minissm watch`."""

from .page import page as page
