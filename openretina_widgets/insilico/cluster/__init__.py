"""Runs whose parts are computed by the workers of a Dask cluster: what ``client=`` does.

Importing this does not import dask.
"""

from openretina_widgets.insilico.cluster.client import check_client, check_workers

__all__ = ["check_client", "check_workers"]
