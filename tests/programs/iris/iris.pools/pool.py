# The Python pool of iris: which functions it offers under which ids and types. Does none of their work.
import nexus_pool

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import iris

MEASURES = "{sepal_length:f8,sepal_width:f8,petal_length:f8,petal_width:f8}"
FLOWER = "{sepal_length:f8,sepal_width:f8,petal_length:f8,petal_width:f8,species:s}"
SUMMARY = "{species:s,n:u4,sepal_length:f8,sepal_width:f8,petal_length:f8,petal_width:f8}"
VERDICT = "{species:s,votes:u4,k:u4}"
REPORT = "{k:u4,correct:u4,of:u4,accuracy:f8,mistakes:[{row:u4,actual:s,predicted:s}]}"

cpp_summarize = nexus_pool.foreign("cpp", 1, args=[f"[{FLOWER}]", "b"], returns=f"[{SUMMARY}]")
cpp_classify = nexus_pool.foreign("cpp", 2, args=[f"[{FLOWER}]", MEASURES, "u4"], returns=VERDICT)
cpp_leave_one_out = nexus_pool.foreign("cpp", 3, args=["u4"], returns="[s]")


def means(deviation):
    return cpp_summarize(iris.flowers(), deviation)


def classify(measures, k):
    return cpp_classify(iris.flowers(), measures, k)


def accuracy(k):
    return iris.report(cpp_leave_one_out(k), k)


nexus_pool.register(1, means, args=["b"], returns=f"[{SUMMARY}]")
nexus_pool.register(2, classify, args=[MEASURES, "u4"], returns=VERDICT)
nexus_pool.register(3, accuracy, args=["u4"], returns=REPORT)
nexus_pool.register(4, iris.flowers, args=[], returns=f"[{FLOWER}]")
nexus_pool.register(5, iris.column, args=["s"], returns="[f8]")
nexus_pool.serve()
