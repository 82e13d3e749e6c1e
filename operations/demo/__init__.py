"""
The demonstration: a house sold to a crowd with everything going wrong, the five incidents, the audit, then the site.

`evening` tells its order; `rest` knows when nothing is left to be done.
"""
