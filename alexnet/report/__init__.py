"""The report of a run: named result files in, pages and pictures for people out.

``results`` reads the files, ``tables`` picks what is worth a table, ``words`` names the net, ``figures`` and ``pictures`` draw,
on ``canvas`` and in the colours of ``theme``, ``pages`` puts it together.
"""
