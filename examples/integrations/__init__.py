"""The quickstart's shop inside other frameworks: one short application each, without a line of the shop changed."""
