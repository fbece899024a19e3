"""The first admin token: when it is made, when the file's is taken, and that nothing is overwritten."""
import hashlib


def hashes(database):
    return {bytes(row[0]) for row in database.sql("select hash from api_tokens")}


def hash_of_file(database):
    return hashlib.sha256(database.token_file.read_text(encoding="ascii").strip().encode()).digest()


def test_a_kept_file_works_with_an_empty_database(database, another_database):
    database.migrate()
    before = database.token_file.read_bytes()
    another_database.token_file = database.token_file
    output = another_database.migrate()
    assert database.token_file.read_bytes() == before
    assert hashes(another_database) == {hash_of_file(database)}
    assert "admin token of the file inserted" in output


def test_a_lost_file_gives_a_new_token_and_leaves_the_old_one(database):
    database.migrate()
    old = hash_of_file(database)
    database.token_file.unlink()
    database.migrate()
    assert hash_of_file(database) != old
    assert hashes(database) == {old, hash_of_file(database)}


def test_a_revoked_token_stays_revoked(database):
    database.migrate()
    database.sql("update api_tokens set revoked_at = now()")
    database.migrate()
    assert database.sql("select count(*) from api_tokens where revoked_at is null") == [(0,)]


def test_without_a_file_there_is_a_warning_and_no_token(database):
    output = database.migrate(KILN_ADMIN_TOKEN_FILE=None)
    assert "there is no admin token" in output
    assert hashes(database) == set()


def test_a_file_with_something_else_is_never_overwritten(database):
    database.token_file.write_text("my shopping list\n", encoding="ascii")
    output = database.migrate(expect=1)
    assert "holds no Kiln token" in output and "shopping" not in output
    assert database.token_file.read_text(encoding="ascii") == "my shopping list\n"
    assert hashes(database) == set()


def test_a_folder_that_is_not_there_is_said(database, tmp_path):
    output = database.migrate(expect=1, KILN_ADMIN_TOKEN_FILE=str(tmp_path / "no" / "token"))
    assert "cannot make" in output


def test_no_temporary_file_is_left(database, tmp_path):
    database.migrate()
    assert [path.name for path in tmp_path.iterdir()] == [database.token_file.name]
