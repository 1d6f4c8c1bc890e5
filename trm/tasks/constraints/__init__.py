"""Tasks in which several answers may be right: the rules decide."""
