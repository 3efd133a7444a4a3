"""Kontext as an OAuth client of an integration's authorization server. No models here: values in, values out."""
