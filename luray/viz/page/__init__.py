"""The report of a run as one HTML page that needs no network and no other file.

`words` says in sentences what was found, `charts` and `maps` draw, `page` puts them together.
"""
