"""The tools of the demo GitHub, named and annotated as the real one's."""

from __future__ import annotations

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from kontext.demo.github.state import Issue, Repository, Store

READ = ToolAnnotations(read_only_hint=True, open_world_hint=False)
WRITE = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
DESTRUCTIVE = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)


def add_tools(server: MCPServer[None], store: Store) -> None:
    @server.tool(annotations=READ)
    def list_issues(repo: str) -> list[Issue]:
        """List the issues of a repository, given as owner/name."""
        return _repository(store, repo).issues

    @server.tool(annotations=WRITE)
    def create_issue(repo: str, title: str, body: str = "") -> Issue:
        """Open an issue in a repository, given as owner/name."""
        repository = _repository(store, repo)
        issue = Issue(number=len(repository.issues) + 1, repo=repo, title=title, body=body, author=_account())
        repository.issues.append(issue)
        store.save()
        return issue

    @server.tool(annotations=READ)
    def get_file(repo: str, path: str) -> str:
        """Read one file of a repository, given as owner/name."""
        files = _repository(store, repo).files
        if path not in files:
            raise ToolError(f"no file {path} in {repo}")
        return files[path]

    @server.tool(annotations=DESTRUCTIVE)
    def delete_repo(repo: str) -> str:
        """Delete a repository, given as owner/name, with everything in it."""
        _repository(store, repo)
        del store.state.repositories[repo]
        store.save()
        return f"{repo} is deleted"


def _repository(store: Store, name: str) -> Repository:
    repository = store.state.repositories.get(name)
    if repository is None:
        raise ToolError(f"no repository {name}")
    return repository


def _account() -> str:
    token = get_access_token()
    if token is None or token.subject is None:
        raise ToolError("the token names no account")
    return token.subject
