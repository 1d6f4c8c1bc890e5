"""The guide: pages in Markdown that ship with the package, and what is generated of it."""
