-- Is there anybody to match?
SELECT EXISTS (SELECT FROM build_queue) AS waits
