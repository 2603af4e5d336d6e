# A Ray cluster by hand, and taskembed on it. FIRST is the name of the first machine.

# on every machine
pip install "taskembed[ray]"
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

# on the first machine; copy ~/.ray/auth_token to the others
ray get-auth-token --generate
ray start --head --port=6379 --include-dashboard=false

# on each of the others
ray start --address=FIRST:6379

# on the first machine
taskembed index /shared/corpus.parquet --task retrieval --index /shared/index \
    --engine ray --address auto --commit-every 200000 --log-file index.log

# at the end, on every machine
ray stop
