"""What a service says of itself on its ops port."""
import json
import urllib.error


def missing(ops):
    """What /readyz names as not fulfilled, with why; None before it answers. `ops` reads a path of the port, which is not open yet when the log does not name it."""
    try:
        ops("/readyz")
    except urllib.error.HTTPError as error:
        return {check["name"]: check["detail"] for check in json.loads(error.read())["checks"] if check["status"] == "fail"}
    except (OSError, IndexError):
        return None
    return {}
