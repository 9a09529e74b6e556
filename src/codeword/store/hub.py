"""Model folders on the Hugging Face Hub."""

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from codeword.errors import CodewordError, ModelError
from codeword.store.files import CONFIG_FILE, WEIGHTS_FILE


def locate(folder_or_repo: str | Path, files: Collection[str]) -> Path:
    """The folder itself, or a local copy of these `files` of a Hugging Face Hub repository. Raises ModelError."""
    if Path(folder_or_repo).is_dir():
        return Path(folder_or_repo)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repo = str(folder_or_repo)
    missing = f"There is no model folder {repo!r}"
    if repo.count("/") != 1 or repo.startswith((".", "/")):
        raise ModelError(f"{missing}; give a folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}.")
    try:
        return Path(snapshot_download(repo, allow_patterns=list(files)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(f"{missing}, and the Hugging Face Hub has no such model ({error}).") from error


def upload(save: Callable[[Path], None], repo: str, *, private: bool) -> str:
    """Upload the folder that `save` writes to the Hugging Face Hub as `owner/name`; returns its address.

    Raises:
        CodewordError: the Hub refuses the upload.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi()
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "model")
        try:
            address = api.create_repo(repo, private=private, exist_ok=True)
            api.upload_folder(repo_id=repo, folder_path=Path(folder) / "model")
        except (HfHubHTTPError, HFValidationError) as error:
            raise CodewordError(
                f"The Hugging Face Hub refused {repo!r} ({error}); log in with `hf auth login` and give owner/name."
            ) from error
    return str(address)
