-- POST /workers/{id}/drain: somebody wants this incarnation of the worker to take no more builds and to end with its last one. Kept until a new
-- incarnation says hello, so that the wish outlives a lost command and a worker that was not heard of for a while.
ALTER TABLE workers ADD COLUMN drain_requested boolean NOT NULL DEFAULT false;
