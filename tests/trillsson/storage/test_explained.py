"""Errors of the operating system and of Google's client, in our words."""

import errno
import os
from pathlib import Path

import pytest

from trillsson.errors import InputError, IntegrityError, TransientError
from trillsson.storage import explain_os_errors


class TestExplained:
    @pytest.mark.parametrize(
        "number",
        [
            *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EROFS),
            *(errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTSUP),
        ],
    )
    def test_the_users_errors(self, number: int) -> None:
        with pytest.raises(InputError) as caught, explain_os_errors("write", Path("x")):
            raise OSError(number, os.strerror(number))
        assert str(caught.value) == f"cannot write x: {os.strerror(number)}; give another path or mend its rights"

    @pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ETIMEDOUT])
    def test_the_surroundings_errors(self, number: int) -> None:
        with pytest.raises(TransientError) as caught, explain_os_errors("read", Path("x")):
            raise OSError(number, os.strerror(number))
        assert str(caught.value) == f"cannot read x: {os.strerror(number)}; run again"

    def test_an_error_without_a_number_keeps_its_text_on_one_line(self) -> None:
        with (
            pytest.raises(TransientError, match=r"^cannot read x: two lines; run again$"),
            explain_os_errors("read", Path("x")),
        ):
            raise OSError("two\nlines")

    @pytest.mark.parametrize("error", [InputError("a"), IntegrityError("b"), TransientError("c"), ValueError("d")])
    def test_other_errors_pass_unchanged(self, error: Exception) -> None:
        with pytest.raises(type(error)) as caught, explain_os_errors("read", Path("x")):
            raise error
        assert caught.value is error
