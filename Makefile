.PHONY: run test bench lint sim fuzz attack conformance docs

# Starts a broker on 127.0.0.1:1883. More: make run ARGS="--listen tcp://0.0.0.0:1883 --allow-anonymous"
run: ; cargo run --release -p ternmq -- broker $(ARGS)

# Everything that must pass; installs what it needs.
test: ; cargo xtask ci

bench: ; cargo xtask bench $(ARGS)

# Formatting, clippy and the house rules, without running a test.
lint: ; cargo xtask lint

# make sim ARGS="--seeds 100000"
sim: ; cargo xtask sim $(ARGS)

# make fuzz ARGS="--seconds 600 decode"
fuzz: ; cargo xtask fuzz $(ARGS)

attack: ; cargo xtask attack $(ARGS)

# make conformance ARGS="--target 127.0.0.1:1883"
conformance: ; cargo xtask conformance $(ARGS)

# Writes the generated pages under docs/reference.
docs: ; cargo xtask docs
