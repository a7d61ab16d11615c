"""Models on the Hugging Face Hub. Its client takes long to import, so each function imports what it needs."""

from collections.abc import Sequence
from pathlib import Path

from s2id.errors import InputError


def fetch(repository: str, file: str, names: Sequence[str]) -> Path:
    """A file of a repository, downloaded or from the Hub's cache.

    Args:
        repository: USER/NAME.
        file: Name of the file.
        names: Names of the bundled models, for the message.

    Raises:
        InputError: There is no such repository, or it cannot be reached.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, file))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise InputError(
            f"{repository!r} is neither a file here nor a repository that the Hub gives; give a bundled model's "
            f"name ({', '.join(names)}), a .safetensors file or a folder that holds {file}."
        ) from error


def upload(folder: Path | str, repository: str, private: bool) -> str:
    """Address of a folder's files after their upload to a repository, which is made if it does not exist."""
    from huggingface_hub import create_repo, upload_folder

    create_repo(repository, private=private, exist_ok=True)
    return str(upload_folder(repo_id=repository, folder_path=folder))
