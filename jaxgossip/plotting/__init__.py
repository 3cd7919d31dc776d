"""Drawing, whatever is drawn: the style, axes that suit their numbers, where the nodes of a graph stand."""
