"""
The buyer's pages: server-rendered, whole without JavaScript. Every form posts, is answered by 303, and shows the result
on a page that can be reloaded. A page that belongs to somebody else does not exist.
"""
