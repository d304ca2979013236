# Every kernel of the tests runs this. The text of a progress bar changes from run to run;
# the bar of the terminal, other than that of the notebook, obeys TQDM_DISABLE.
import tqdm.auto
import tqdm.std

tqdm.auto.tqdm = tqdm.std.tqdm
del tqdm
