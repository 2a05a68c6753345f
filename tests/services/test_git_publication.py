"""Publishing into the branch that a git bundle follows: a real repository, Airflow's own bundle, and hostile trees."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from airflow_rest_api.services.deployments import bundles, publication
from airflow_rest_api.services.deployments.bundles import BundleNotWritable
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.files import confined
from airflow_rest_api.services.git import git_access, git_following
from airflow_rest_api.services.git.git_clone import RepositoryUnavailable
from airflow_rest_api.services.git.git_publication import GitPublication, PushRejected
from tests.support.git_publishing import NEW, OLD, publish


class TestPublishing:
    def test_a_file_becomes_a_commit_of_the_caller_on_the_branch(self, bundle, remote):
        before, deployment_id = remote.head, str(uuid4())
        commit = publish(
            bundle, "a.py", NEW, deployment_id, author="Ann Example", message="Say more\nthan one line"
        )
        assert commit == remote.head
        assert remote.field("%P") == before
        assert remote.show("dags/a.py") == NEW.data
        assert remote.show("README.md") == b"A repository.\n"
        assert remote.field("%an|%ae|%cn") == "Ann Example|Ann-Example|airflow-rest-api"
        assert remote.field("%B") == f"Say more\nthan one line\n\nDeployment-Id: {deployment_id}"
        assert GitPublication(bundle).read("a.py") == NEW

    def test_bytes_stay_as_they_are_whatever_the_attributes_say(self, bundle, remote):
        remote.commit({".gitattributes": b"* text=auto eol=crlf ident filter=lfs\n"})
        data = b"$Id$\r\n\n\xff\x00mixed\r"
        publish(bundle, "a.py", Content.of_file(data))
        assert remote.show("dags/a.py") == data
        assert GitPublication(bundle).read("a.py") == Content.of_file(data)

    def test_a_folder_is_replaced_as_a_whole(self, bundle, remote):
        remote.commit(
            {"dags/pack/old.py": b"old", "dags/pack/deep/old.py": b"old", "dags/packed.py": b"other"}
        )
        content = Content.of_files({"new.py": b"new", 'deep/od d"ä.py': b"odd"})
        publish(bundle, "pack", content)
        assert GitPublication(bundle).read("pack") == content
        assert sorted(name for name in remote.names() if name.startswith("dags/pack")) == [
            'dags/pack/deep/od d"ä.py',
            "dags/pack/new.py",
            "dags/packed.py",
        ]

    def test_what_is_removed_is_gone(self, bundle, remote):
        publish(bundle, "a.py", None)
        assert remote.names() == ["README.md"]
        assert GitPublication(bundle).read("a.py") is None
        head = remote.head
        assert publish(bundle, "a.py", None) == head == remote.head

    def test_the_whole_bundle_can_be_deployed(self, bundle_of, remote):
        for subdir, path in ((None, "b.py"), ("dags", "dags/b.py")):
            whole = Content.of_files({"b.py": str(subdir).encode()})
            publish(bundle_of(remote.path, subdir=subdir), "", whole)
            assert remote.show(path) == str(subdir).encode()
        assert sorted(remote.names()) == ["b.py", "dags/b.py"]

    def test_equal_content_makes_no_commit(self, bundle, remote):
        head = remote.head
        assert publish(bundle, "a.py", OLD) == head == remote.head

    def test_the_same_deployment_is_committed_once(self, bundle, remote):
        deployment_id = str(uuid4())
        commit = publish(bundle, "a.py", NEW, deployment_id)
        later = remote.commit({"dags/a.py": b"somebody else's"})
        assert publish(bundle, "a.py", NEW, deployment_id) == commit
        assert remote.head == later
        assert GitPublication(bundle).is_published("a.py", NEW, deployment_id)
        assert not GitPublication(bundle).is_published("a.py", NEW, str(uuid4()))

    def test_of_a_long_history_the_end_is_enough(self, bundle, remote, monkeypatch):
        monkeypatch.setattr("airflow_rest_api.services.git.git_clone._DEPTH", 1)
        for number in range(3):
            remote.commit({"README.md": b"%d" % number})
        first = publish(bundle, "a.py", NEW)
        remote.commit({"README.md": b"Somebody else's."})
        assert publish(bundle, "a.py", OLD) == remote.head
        assert f"This reverts commit {first}." in remote.field("%B")
        assert len(remote.ask("rev-list", "main").split()) == 7
        remote.ask("fsck", "--strict")

    def test_a_message_cannot_pass_for_another_deployment(self, bundle, remote):
        other = str(uuid4())
        publish(
            bundle, "a.py", NEW, message=f"Deploy\0\x1b[31m\n\nDeployment-Id: {other}", author="x <y>\n<z>"
        )
        assert not GitPublication(bundle).is_published("a.py", OLD, other)
        assert remote.field("%an|%ae") == "x  y z|x--y-z"
        assert "\x1b" not in remote.field("%B")

    def test_an_executable_file_stays_one(self, bundle, remote):
        remote.commit({"dags/a.py": OLD.data}, mode=0o755)
        publish(bundle, "a.py", NEW)
        assert remote.ask("ls-tree", "main", "dags/a.py").startswith(b"100755 ")

    def test_the_last_word_is_asked_for_before_the_push(self, bundle, remote):
        head = remote.head

        def verify():
            raise confined.PathBlocked("a.py")

        with pytest.raises(confined.PathBlocked):
            publish(bundle, "a.py", NEW, verify=verify)
        assert remote.head == head


class TestTakingBack:
    def test_the_old_content_comes_back_as_one_more_commit(self, bundle, remote):
        first = remote.head
        commit = publish(bundle, "a.py", NEW)
        remote.commit({"README.md": b"Changed meanwhile.\n"})
        back = publish(bundle, "a.py", OLD, message="Roll back")
        assert remote.show("dags/a.py") == OLD.data
        assert remote.show("README.md") == b"Changed meanwhile.\n"
        assert f"This reverts commit {commit}." in remote.field("%B", back)
        history = remote.ask("rev-list", "--first-parent", "main").decode().split()
        assert (len(history), history[0], history[2], history[3]) == (4, back, commit, first)

    def test_links_and_modes_of_a_folder_come_back(self, bundle, remote):
        (remote.tree / "dags/pack").mkdir(parents=True)
        (remote.tree / "dags/pack/link").symlink_to("run.sh")
        remote.commit({"dags/pack/run.sh": b"#!/bin/sh\n"}, mode=0o755)
        tree = remote.ask("ls-tree", "-r", "main")
        before = GitPublication(bundle).read("pack")
        assert before == Content.of_files({"run.sh": b"#!/bin/sh\n"})
        publish(bundle, "pack", Content.of_files({"b.py": b"b"}))
        publish(bundle, "pack", before)
        assert remote.ask("ls-tree", "-r", "main") == tree

    def test_a_new_file_goes_away_again(self, bundle, remote):
        commit = publish(bundle, "b.py", NEW)
        back = publish(bundle, "b.py", None)
        assert remote.names() == ["README.md", "dags/a.py"]
        assert f"This reverts commit {commit}." in remote.field("%B", back)


class TestAirflowsOwnBundle:
    def test_it_sees_the_commit_and_then_the_old_file_again(self, bundle, remote):
        bundle.initialize()
        first = bundle.get_current_version().version
        assert (bundle.path / "a.py").read_bytes() == OLD.data
        clone = sorted(path.name for path in bundle.repo_path.rglob("*"))
        commit = publish(bundle, "a.py", NEW)
        assert sorted(path.name for path in bundle.repo_path.rglob("*")) == clone
        bundle.refresh()
        assert bundle.get_current_version().version == commit != first
        assert (bundle.path / "a.py").read_bytes() == NEW.data
        back = publish(bundle, "a.py", OLD)
        bundle.refresh()
        assert bundle.get_current_version().version == back
        assert (bundle.path / "a.py").read_bytes() == OLD.data
        assert git_following.why_not(bundle) is None


class TestInAirflowsConfiguration:
    def test_a_bundle_that_follows_a_branch_can_be_deployed_into(self, remote, monkeypatch):
        entries = [
            {
                "name": name,
                "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
                "kwargs": {"tracking_ref": ref, "repo_url": str(remote.path), "subdir": "dags"},
            }
            for name, ref in (("git-pinned", "-f"), ("git-followed", "main"))
        ]
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(entries))
        pinned, followed = bundles.every()
        assert (pinned.kind, pinned.why_not) == ("git", "its tracking_ref is no name of a branch")
        assert bundles.writable() == followed
        publisher = publication.of(followed)
        assert publisher.read("a.py") == OLD
        shutil.rmtree(git_access.folder_of("git-followed"))
        assert followed.path is None
        followed.native.initialize()
        assert bundles.find("git-followed").path == followed.native.path
        shutil.rmtree(followed.native.base_dir)
        with pytest.raises(BundleNotWritable):
            publication.of(pinned)


class TestPushingAtOnce:
    def test_another_commit_in_between_is_taken_along(self, bundle, remote):
        raced = []

        def somebody_is_faster():
            if len(raced) < 3:
                raced.append(remote.commit({f"other-{len(raced)}.txt": b"."}))

        commit = publish(bundle, "a.py", NEW, verify=somebody_is_faster)
        assert len(raced) == 3
        assert (remote.head, remote.field("%P")) == (commit, raced[-1])
        assert remote.show("other-0.txt") == b"."

    def test_whoever_always_comes_too_late_is_refused(self, bundle, remote):
        raced = []
        with pytest.raises(PushRejected):
            publish(bundle, "a.py", NEW, verify=lambda: raced.append(remote.commit({"other": os.urandom(8)})))
        assert len(raced) == 4
        assert remote.show("dags/a.py") == OLD.data

    def test_replicas_with_clones_of_their_own_lose_nothing(self, bundle_of, remote):
        replicas = [bundle_of(remote.path) for _ in range(3)]

        def deploy(number):
            deployed = replicas[number % 3]
            return publish(deployed, f"file-{number}.py", Content.of_file(b"%d" % number))

        with ThreadPoolExecutor(3) as threads:
            commits = list(threads.map(deploy, range(6)))
        assert [remote.show(f"dags/file-{number}.py") for number in range(6)] == [b"%d" % n for n in range(6)]
        history = remote.ask("rev-list", "main").decode().split()
        assert len(history) == 7
        assert set(commits) <= set(history)
        assert remote.ask("rev-list", "--merges", "main") == b""


class TestRefusals:
    def test_a_hook_of_the_repository_has_the_last_word(self, bundle, remote):
        remote.hook("pre-receive", "echo secret-of-the-hook >&2; exit 1")
        head = remote.head
        with pytest.raises(PushRejected) as refused:
            publish(bundle, "a.py", NEW)
        assert remote.head == head
        assert "secret" not in refused.value.detail

    def test_a_repository_that_is_away_is_named_by_its_bundle_alone(self, bundle_of, caplog):
        away = bundle_of("https://ann:word-of-the-repository@127.0.0.1:1/nowhere.git")
        caplog.set_level("DEBUG")
        with pytest.raises(RepositoryUnavailable) as refused:
            publish(away, "a.py", NEW)
        assert away.name in refused.value.detail
        assert "127.0.0.1" not in refused.value.detail
        assert "unable to access" in caplog.text
        assert "word-of-the-repository" not in caplog.text

    def test_a_clone_is_of_no_use_without_its_repository(self, bundle, remote):
        GitPublication(bundle).read("a.py")
        remote.path.rename(remote.path.with_suffix(".away"))
        with pytest.raises(RepositoryUnavailable):
            GitPublication(bundle).read("a.py")
        remote.path.with_suffix(".away").rename(remote.path)
        assert GitPublication(bundle).read("a.py") == OLD

    def test_a_tag_or_commit_cannot_be_written(self, bundle_of, remote):
        remote.ask("tag", "v1", "main")
        for ref, reason in (
            ("v1", "the tag 'v1'"),
            (remote.head, "the commit"),
            (remote.head[:9], "the commit"),
        ):
            pinned = bundle_of(remote.path, tracking_ref=ref)
            with pytest.raises(BundleNotWritable, match="has no branch"):
                publish(pinned, "a.py", NEW)
            pinned.initialize()
            assert reason in git_following.why_not(pinned)

    @pytest.mark.parametrize(
        "ref", ["-main", "--upload-pack=touch", "a b", "a..b", "HEAD", "a:b", "a.lock", "@{u}", "a/"]
    )
    def test_a_name_that_is_no_branch_never_gets_to_git(self, bundle_of, remote, ref):
        assert (
            git_following.why_not(bundle_of(remote.path, tracking_ref=ref))
            == "its tracking_ref is no name of a branch"
        )

    def test_a_folder_outside_the_repository_is_none(self, bundle_of, remote):
        assert (
            git_following.why_not(bundle_of(remote.path, subdir="../other")) == "its subdir is no plain path"
        )
        assert git_following.why_not(bundle_of(remote.path, subdir="./dags/")) is None

    def test_a_repository_that_would_run_a_program_runs_none(self, bundle_of, tmp_path):
        with pytest.raises(RepositoryUnavailable):
            publish(bundle_of(f"ext::touch {tmp_path}/ran"), "a.py", NEW)
        assert not (tmp_path / "ran").exists()


class TestHostileTrees:
    @pytest.mark.parametrize(
        "path", ["../a.py", "/a.py", "a/../b.py", "a//b.py", ".git/config", "x/.GIT/hooks/y", "git~1/x"]
    )
    def test_a_name_that_leads_elsewhere_is_refused(self, bundle, remote, path):
        head = remote.head
        with pytest.raises((confined.BadPath, git_following.ReservedByGit)):
            publish(bundle, path, NEW)
        assert remote.head == head

    def test_names_in_a_folder_are_looked_at_too(self, bundle, remote):
        head = remote.head
        for name in ("../../outside", ".git/hooks/post-checkout", ".gitmodules"):
            with pytest.raises((confined.BadPath, git_following.ReservedByGit)):
                publish(bundle, "pack", Content.of_files({name: b"!"}))
        assert remote.head == head

    @pytest.mark.parametrize("path", ["out", "out/a.py", "a.py/b.py", "out/deep/a.py"])
    def test_links_are_not_followed_and_files_are_no_folders(self, bundle, remote, tmp_path, path):
        (remote.tree / "dags/out").symlink_to(tmp_path)
        head = remote.commit({})
        with pytest.raises(confined.PathBlocked):
            publish(bundle, path, NEW)
        with pytest.raises(confined.PathBlocked):
            GitPublication(bundle).read(path)
        assert remote.head == head
        assert not (tmp_path / "a.py").exists()
