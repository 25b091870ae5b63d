"""Cloud Healthcare imports and exports without Pulumi: requests, starting, waiting, reporting, verifying.

Modules, in the order a run meets them:

* what a person writes: `uris`, `resource_names`, `mime_types`, `filters`, `durations`
* what is asked of the service: `requests`
* where the service is and how it is reached: `connection`, `retrying`
* the run itself: `metrics`, `checks`, `slots`, `journal`, `adopt`, `start`, `wait`, `follow`
* what came of it: `outcome`, `errors`, `logs`, `verify`, `report`; whether it runs again: `record`, `rerun`

`python -m operations` is the command line over the same functions.
"""
