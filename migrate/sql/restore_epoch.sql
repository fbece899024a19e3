-- restore: attempt numbers jump.
UPDATE deployment SET epoch = epoch + 1 RETURNING epoch
